package benchmarks

import (
	"strings"
	"testing"

	"crumbtrail/benchmarks/edge"
	"crumbtrail/benchmarks/peers"
)

// What a topic has is held against what the senders were told.
func TestLedger(t *testing.T) {
	loads := []firedLoad{
		{peers.Forward, edge.Plan{First: 0, Batch: 2}, []byte("a")},
		{crumbtrailServer, edge.Plan{First: 2, Batch: 2}, []byte("arb-")},
	}
	for _, c := range []struct {
		name     string
		seen     string // by the beacon's number
		repeated int
		want     string
	}{
		{"all that was acknowledged", "00" + "11" + "00" + "00" + "00", 0, ""},
		{"what was refused may be there", "00" + "12" + "10" + "11" + "00", 1, ""},
		{"one is missing", "00" + "10" + "11" + "11" + "00", 0, "1 acknowledged beacons are not in"},
		{"one that was never sent", "00" + "11" + "00" + "00" + "01", 0, "did not get it"},
		{"one that another server got", "10" + "11" + "00" + "00" + "00", 0, "did not get it"},
	} {
		l := &ledger{loads: loads, seen: make([]uint8, len(c.seen))}
		for i := range c.seen {
			l.seen[i] = c.seen[i] - '0'
		}
		repeated, err := l.check()
		if repeated != c.repeated || (err == nil) != (c.want == "") ||
			err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %d repeated, %v", c.name, repeated, err)
		}
	}
	l := &ledger{loads: loads, seen: make([]uint8, 10)}
	l.take("0198d2c4-7a3e-7cc1-b2a1-5f0a9d3e77aa")
	if _, err := l.check(); err == nil || !strings.Contains(err.Error(), "nobody sent") {
		t.Errorf("an id from elsewhere: %v", err)
	}
}
