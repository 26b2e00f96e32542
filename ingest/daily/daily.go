// Package daily names visitors of whom nothing is stored in the browser. It reads an address and a
// user agent and writes salts, secrets of a day each; it guarantees that the same browser has the
// same name on the same site for that day, and that a name leads nowhere once its salt is deleted.
package daily

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/net/publicsuffix"

	"crumbtrail/schemas"
)

// Rules say when the days of a site begin and how long a visit may pause.
type Rules struct {
	Site string
	Zone *time.Location
	// Hour is what the site's clocks show when a day begins, 0 to 23.
	Hour int
	Gap  time.Duration
}

// Browser is what tells one browser from another.
type Browser struct {
	// Host is that of the page.
	Host    string
	Address netip.Addr
	Agent   string
	// Claim is an id that the sender gave, where the address and the agent are not the visitor's.
	Claim string
}

// Visitors names visitors. Its methods are for concurrent use.
type Visitors struct {
	mu    sync.Mutex
	salts salts
	// until says of visitors near the end of their day, or past it, when their visit ends without
	// another beacon, in seconds since the epoch.
	until map[name]int64
	// swept is when until was last freed of the visits that had ended.
	swept int64
}

// name is 128 bits that name a visitor.
type name [16]byte

// mostUntil bounds the visits that are followed over the end of a day; others are cut there.
const mostUntil = 1 << 18

// Open makes names with the salts in a directory, which it makes; empty keeps them in memory.
// Collectors that share the directory give the same names.
func Open(dir string, log *slog.Logger) (*Visitors, error) {
	s, err := openSalts(dir, log)
	if err != nil {
		return nil, err
	}
	return &Visitors{salts: s, until: map[name]int64{}}, nil
}

// ID names a browser at a time. A visit that goes on over the end of a day keeps its name, as far
// as this process has seen it.
func (v *Visitors) ID(r *Rules, b Browser, now time.Time) string {
	yesterday, today, tomorrow := r.days(now)
	at, gap := now.Unix(), int64(r.Gap/time.Second)
	v.mu.Lock()
	defer v.mu.Unlock()
	v.sweep(now)
	if salt := v.salts.existing(yesterday.Unix()); salt != nil && len(v.until) > 0 {
		old := b.name(salt, r.Site)
		if until, ok := v.until[old]; ok && at <= until {
			v.until[old] = at + gap
			return old.id()
		}
	}
	id := b.name(v.salts.of(today.Unix()), r.Site)
	if tomorrow.Unix()-at <= gap {
		v.follow(id, at+gap)
	}
	return id.id()
}

// days returns when the days before now's, now's and the next one begin.
func (r *Rules) days(now time.Time) (yesterday, today, tomorrow time.Time) {
	year, month, day := now.In(r.Zone).Date()
	begins := func(day int) time.Time {
		return time.Date(year, month, day, r.Hour, 0, 0, 0, r.Zone)
	}
	if begins(day).After(now) {
		day--
	}
	return begins(day - 1), begins(day), begins(day + 1)
}

// name is an HMAC of what tells a browser from others. Of an IPv6 address it takes the network:
// the rest changes within the day.
func (b *Browser) name(salt *salt, site string) name {
	mac := hmac.New(sha256.New, salt[:])
	for _, text := range [...]string{site, domain(b.Host), b.Claim, b.Agent} {
		mac.Write([]byte(text))
		mac.Write([]byte{0})
	}
	if address := b.Address.Unmap(); address.Is6() {
		bytes := address.As16()
		mac.Write(bytes[:8])
	} else if address.IsValid() {
		mac.Write(address.AsSlice())
	}
	var sum [sha256.Size]byte
	return name(mac.Sum(sum[:0])[:len(name{})])
}

// domain is the name under which a host is registered, so that www and shop are one site.
func domain(host string) string {
	if registered, err := publicsuffix.EffectiveTLDPlusOne(host); err == nil {
		return registered
	}
	return host
}

func (n name) id() string {
	return schemas.DayVisitor + base64.RawURLEncoding.EncodeToString(n[:])
}

// follow remembers when the visit of a visitor ends.
func (v *Visitors) follow(n name, until int64) {
	if _, ok := v.until[n]; ok || len(v.until) < mostUntil {
		v.until[n] = until
	}
}

// sweepEvery is how often ended visits and salts are looked for, in seconds.
const sweepEvery = 60

// sweep forgets visits that have ended, and deletes salts that are over.
func (v *Visitors) sweep(now time.Time) {
	at := now.Unix()
	if at-v.swept < sweepEvery {
		return
	}
	v.swept = at
	for n, until := range v.until {
		if until < at {
			delete(v.until, n)
		}
	}
	v.salts.expire(now)
}

// Run deletes salts when they are over, until ctx ends.
func (v *Visitors) Run(ctx context.Context) {
	tick := time.NewTicker(sweepEvery * time.Second)
	defer tick.Stop()
	for {
		select {
		case now := <-tick.C:
			v.mu.Lock()
			v.sweep(now)
			v.mu.Unlock()
		case <-ctx.Done():
			return
		}
	}
}
