package daily

import (
	"encoding/binary"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"crumbtrail/schemas"
)

func open(t testing.TB, dir string) *Visitors {
	t.Helper()
	v, err := Open(dir, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func paris(t testing.TB) *Rules {
	t.Helper()
	zone, err := time.LoadLocation("Europe/Paris")
	if err != nil {
		t.Fatal(err)
	}
	return &Rules{Site: "acme", Zone: zone, Hour: 4, Gap: 30 * time.Minute}
}

func somebody() Browser {
	return Browser{
		Host: "www.acme.example", Address: netip.MustParseAddr("192.0.2.7"), Agent: "Mozilla/5.0",
	}
}

// noon is in the middle of a day of Paris.
func noon() time.Time { return time.Date(2026, 11, 24, 11, 0, 0, 0, time.UTC) }

func TestNames(t *testing.T) {
	v, r := open(t, ""), paris(t)
	id := v.ID(r, somebody(), noon())
	if !schemas.VisitorID(id).OfOneDay() || len(id) != len(schemas.DayVisitor)+22 {
		t.Fatalf("id %q, want 128 bits after the mark of a day", id)
	}
	with := func(change func(*Browser)) Browser {
		b := somebody()
		change(&b)
		return b
	}
	address := func(text string) func(*Browser) {
		return func(b *Browser) { b.Address = netip.MustParseAddr(text) }
	}
	for name, c := range map[string]struct {
		Browser
		at   time.Time
		site string
		same bool
	}{
		"again":          {somebody(), noon().Add(15 * time.Hour), "acme", true},
		"another day":    {somebody(), noon().Add(17 * time.Hour), "acme", false},
		"another site":   {somebody(), noon(), "shop", false},
		"subdomain":      {with(func(b *Browser) { b.Host = "shop.acme.example" }), noon(), "acme", true},
		"another domain": {with(func(b *Browser) { b.Host = "acme.test" }), noon(), "acme", false},
		"another agent":  {with(func(b *Browser) { b.Agent = "curl/8" }), noon(), "acme", false},
		"neighbour":      {with(address("192.0.2.8")), noon(), "acme", false},
		"mapped":         {with(address("::ffff:192.0.2.7")), noon(), "acme", true},
		"no address":     {Browser{Agent: "Mozilla/5.0", Host: "acme.example"}, noon(), "acme", false},
		"claim":          {with(func(b *Browser) { b.Claim = "me" }), noon(), "acme", false},
	} {
		rules := *r
		rules.Site = c.site
		if got := v.ID(&rules, c.Browser, c.at); (got == id) != c.same {
			t.Errorf("%s: %s after %s, want the same: %v", name, got, id, c.same)
		}
	}
	six := v.ID(r, with(address("2001:db8:1:2::1")), noon())
	if got := v.ID(r, with(address("2001:db8:1:2:ffff::9%eth0")), noon()); got != six {
		t.Error("two addresses of an IPv6 network are two visitors")
	}
	if got := v.ID(r, with(address("2001:db8:1:3::1")), noon()); got == six {
		t.Error("two IPv6 networks are one visitor")
	}
	if got := open(t, "").ID(r, somebody(), noon()); got == id {
		t.Error("another salt gives the same name")
	}
}

// Neighbouring texts are told apart.
func TestNamesHaveBounds(t *testing.T) {
	v, r := open(t, ""), paris(t)
	a, b := somebody(), somebody()
	a.Claim, a.Agent, b.Claim, b.Agent = "x", "yz", "xy", "z"
	if v.ID(r, a, noon()) == v.ID(r, b, noon()) {
		t.Error("claim and agent run into each other")
	}
}

func TestDays(t *testing.T) {
	r := paris(t)
	for now, want := range map[string]string{
		"2026-11-24T02:59:59Z": "2026-11-23T03:00:00Z",
		"2026-11-24T03:00:00Z": "2026-11-24T03:00:00Z",
		"2026-07-01T01:59:59Z": "2026-06-30T02:00:00Z",
		"2026-10-25T02:59:59Z": "2026-10-24T02:00:00Z", // a day of 25 hours
		"2026-10-25T03:00:00Z": "2026-10-25T03:00:00Z",
		"2026-01-01T00:00:00Z": "2025-12-31T03:00:00Z",
	} {
		at, err := time.Parse(time.RFC3339, now)
		if err != nil {
			t.Fatal(err)
		}
		yesterday, today, tomorrow := r.days(at)
		if got := today.UTC().Format(time.RFC3339); got != want || !yesterday.Before(today) ||
			at.Before(today) || !at.Before(tomorrow) {
			t.Errorf("%s is in the day from %s, want %s", now, got, want)
		}
	}
}

// A visit that goes on over the end of a day is one, be it long; one after its gap is another.
func TestOverTheEndOfADay(t *testing.T) {
	r := paris(t)
	end := time.Date(2026, 11, 25, 3, 0, 0, 0, time.UTC)
	v := open(t, t.TempDir())
	id := v.ID(r, somebody(), end.Add(-10*time.Minute))
	for after := time.Duration(0); after <= 5*time.Hour; after += 20 * time.Minute {
		if got := v.ID(r, somebody(), end.Add(after)); got != id {
			t.Fatalf("%s after the end of the day another visitor", after)
		}
	}
	last := end.Add(5 * time.Hour)
	if got := v.ID(r, somebody(), last.Add(30*time.Minute)); got != id {
		t.Error("a pause of exactly the gap ends the visit")
	}
	fresh := v.ID(r, somebody(), last.Add(time.Hour+time.Second))
	if fresh == id {
		t.Error("a pause of more than the gap does not end the visit")
	}
	if got := v.ID(r, somebody(), last.Add(5*time.Hour)); got != fresh {
		t.Error("the next visit of the day is somebody else's")
	}
	// Somebody else comes with the new day's name at once.
	other := somebody()
	other.Agent = "curl/8"
	v = open(t, t.TempDir())
	before := v.ID(r, other, end.Add(-31*time.Minute))
	if v.ID(r, other, end.Add(time.Second)) == before {
		t.Error("a visit that had ended goes on with the old name")
	}
}

// What is followed over the end of a day is bounded, and freed.
func TestFollowedVisitsAreBounded(t *testing.T) {
	v := open(t, "")
	for i := range mostUntil {
		var n name
		binary.BigEndian.PutUint64(n[:], uint64(i))
		v.follow(n, 1000)
	}
	v.follow(name{255}, 1000)
	if len(v.until) != mostUntil {
		t.Errorf("%d visits followed, want %d", len(v.until), mostUntil)
	}
	v.follow(name{}, 2000)
	if v.until[name{}] != 2000 {
		t.Error("a visit that is followed does not go on")
	}
	v.sweep(time.Unix(1500, 0))
	if len(v.until) != 1 {
		t.Errorf("%d visits are left, want the one that has not ended", len(v.until))
	}
}

// Collectors that share a directory agree, also those that start in the same moment, and a restart
// goes on with the names of the day.
func TestSharedSalts(t *testing.T) {
	dir, r := t.TempDir(), paris(t)
	ids := make([]string, 8)
	var all sync.WaitGroup
	for i := range ids {
		all.Go(func() { ids[i] = open(t, dir).ID(r, somebody(), noon()) })
	}
	all.Wait()
	if slices.Sort(ids); ids[0] != ids[len(ids)-1] {
		t.Errorf("names %v", ids)
	}
	files := list(t, dir)
	if len(files) != 1 || files[0] != "20261124T030000Z.salt" {
		t.Errorf("files %v", files)
	}
	if info, err := os.Stat(filepath.Join(dir, files[0])); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

func list(t testing.TB, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// A salt is deleted 48 hours after its day began, from the directory and from memory, and nothing
// gives its names again. What is no salt stays.
func TestSaltsAreDeleted(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "README"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "1.draft"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	old := time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC)
	if err := os.Chtimes(filepath.Join(dir, "1.draft"), old, old); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) { // it begins at midnight, 2000-01-01 UTC
		v, r := open(t, dir), &Rules{Site: "acme", Zone: time.UTC, Gap: time.Minute}
		go v.Run(t.Context())
		id := v.ID(r, somebody(), time.Now())
		begun := time.Now()
		time.Sleep(48*time.Hour - time.Minute - time.Since(begun))
		if got := list(t, dir); !slices.Equal(got, []string{"20000101T000000Z.salt", "README"}) {
			t.Errorf("after two days less a minute: %v", got)
		}
		time.Sleep(time.Minute + time.Second)
		if got := list(t, dir); !slices.Equal(got, []string{"README"}) {
			t.Errorf("after two days: %v", got)
		}
		v.mu.Lock()
		if len(v.salts.byStart) != 0 {
			t.Errorf("still in memory: %v", v.salts.byStart)
		}
		v.mu.Unlock()
		if v.ID(r, somebody(), begun) == id {
			t.Error("the names of a deleted salt come again")
		}
	})
}

// Nobody is left without a name because of a file.
func TestDamagedSalts(t *testing.T) {
	dir, r := t.TempDir(), paris(t)
	path := filepath.Join(dir, "20261124T030000Z.salt")
	for _, text := range []string{"", "00\n", strings.Repeat("zz", 32)} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		id := open(t, dir).ID(r, somebody(), noon())
		if open(t, dir).ID(r, somebody(), noon()) != id {
			t.Errorf("a salt of %q is not replaced", text)
		}
	}
	v := open(t, filepath.Join(dir, "gone"))
	if err := os.Remove(filepath.Join(dir, "gone")); err != nil {
		t.Fatal(err)
	}
	id := v.ID(r, somebody(), noon())
	if v.ID(r, somebody(), noon()) != id {
		t.Error("without its directory, names do not even last in memory")
	}
	if _, err := Open(path, slog.New(slog.DiscardHandler)); err == nil {
		t.Error("opened a file as a directory")
	}
}

func BenchmarkID(b *testing.B) {
	v, r := open(b, ""), &Rules{Site: "acme", Zone: time.UTC, Gap: 30 * time.Minute}
	who, now := somebody(), noon()
	b.ReportAllocs()
	for b.Loop() {
		v.ID(r, who, now)
	}
}
