package handoff

import (
	"log/slog"
	"net/netip"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"crumbtrail/internal/waiting"
)

// TestSignature has what the specification's own Python library (standardwebhooks 1.0) makes.
func TestSignature(t *testing.T) {
	secret, err := ParseSecret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLwSw")
	if err != nil {
		t.Fatal(err)
	}
	const want = "v1,pZN3CVESPCUuihODVQNgWONmlcH9xCz9b1ykcK53XqY="
	got := sign(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, []byte(`{"test": 2432232314}`))
	if got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestSecrets(t *testing.T) {
	for _, text := range []string{
		"", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLwSw", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLw==", "whsec_!",
	} {
		if _, err := ParseSecret(text); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}

func TestPublicAddresses(t *testing.T) {
	for text, want := range map[string]bool{
		"93.184.216.34": true, "2606:2800:220:1:248:1893:25c8:1946": true, "::ffff:93.184.216.34": true,
		"127.0.0.1": false, "10.1.2.3": false, "172.16.0.1": false, "192.168.1.1": false,
		"169.254.169.254": false, "100.64.0.1": false, "0.0.0.0": false, "224.0.0.1": false,
		"255.255.255.255": false, "::1": false, "::": false, "fe80::1%eth0": false, "fd00::1": false,
		"::ffff:127.0.0.1": false, "64:ff9b::7f00:1": false, "2002:7f00:1::": false,
	} {
		if got := IsPublic(netip.MustParseAddr(text)); got != want {
			t.Errorf("%s: %t", text, got)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Duration{
		"": 0, "120": 2 * time.Minute, "-5": 0, "soon": 0, "99999999": maxRetryAfter,
		"Thu, 01 Jan 2026 00:00:30 GMT": 30 * time.Second, "Wed, 31 Dec 2025 00:00:30 GMT": 0,
	} {
		if got := retryAfter(text, now); got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}

// TestPauses has what an answer holds up: the webhook, or the hand-off alone.
func TestPauses(t *testing.T) {
	at := func(d time.Duration) waiting.Pauses { return waiting.Pauses{First: d, Most: d} }
	for name, c := range map[string]struct {
		a          answer
		all, alone time.Duration
	}{
		"no answer":   {answer{verdict: away}, time.Minute, 0},
		"retry after": {answer{verdict: away, after: 3 * time.Hour}, 3 * time.Hour, 0},
		"refused":     {answer{verdict: refused}, 0, time.Hour},
	} {
		p := &parcel{}
		r := &round{hook: &hook{
			cfg: Config{Away: at(time.Minute), Refused: at(time.Hour)},
			log: slog.New(slog.DiscardHandler), metrics: newMetrics(prometheus.NewRegistry()).of("crm"),
		}, waiting: []*parcel{p, {}}}
		began := time.Now()
		r.settle(p, c.a)
		held := func(until time.Time, want time.Duration) bool {
			if want == 0 {
				return until.IsZero()
			}
			d := until.Sub(began)
			return d >= want*3/4 && d <= want*5/4+time.Minute
		}
		if !held(r.free, c.all) || !held(p.next, c.alone) || r.waiting[1] != p {
			t.Errorf("%s: all wait until %s, it until %s", name, r.free, p.next)
		}
	}
}
