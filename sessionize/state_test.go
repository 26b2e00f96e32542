package sessionize

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"crumbtrail/internal/stage"
	"crumbtrail/schemas"
)

// TestPacked says that a visit's packed beacons come out as they went in, after a restart too, and
// that they are what the schema says.
func TestPacked(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		owner := &visitor{rules: newRules(DefaultRules())}
		s, v := newSessions(DefaultConfig(), 0, nil), &visit{visitor: owner}
		var want []entry
		for i := range rapid.IntRange(1, 20).Draw(t, "beacons") {
			e := drawEntry(t, int64(i))
			want = append(want, e)
			v.add(&e, idOf(e.eventID), &s.memory.pools)
			if rapid.IntRange(0, 4).Draw(t, "restart") == 0 {
				restored, err := s.restoreVisit(owner, v.packed, false)
				if err != nil {
					t.Fatal(err)
				}
				if restored.latest != v.latest || restored.dueUS != v.dueUS ||
					restored.firstUS != v.firstUS || restored.beacons != v.beacons {
					t.Fatalf("restored %+v, was %+v", restored, v)
				}
				v = restored
			}
		}
		unpacked, err := unpack(nil, v.packed)
		if err != nil {
			t.Fatal(err)
		}
		var got []entry
		for i := range unpacked {
			got = append(got, unpacked[i].entry(v.packed))
		}
		if diff := cmp.Diff(fmt.Sprint(want), fmt.Sprint(got)); diff != "" {
			t.Fatalf("unpacked (-in +out):\n%s", diff)
		}
		for rest := v.packed; len(rest) > 0; {
			message, n := protowire.ConsumeBytes(rest)
			rest = rest[n:]
			var b schemas.VisitBeacon
			if err := b.UnmarshalVT(message); err != nil {
				t.Fatal(err)
			}
			if len(b.ProtoReflect().GetUnknown()) > 0 || proto.Size(&b) != len(message) {
				t.Fatalf("%x is not a plain VisitBeacon", message)
			}
		}
	})
}

func drawEntry(t *rapid.T, offset int64) entry {
	e := entry{
		eventID:    []byte(rapid.StringN(1, 8, -1).Draw(t, "event")),
		kind:       schemas.BeaconType(rapid.IntRange(0, 6).Draw(t, "type")),
		consent:    schemas.Consent(rapid.IntRange(2, 3).Draw(t, "consent")),
		occurredUS: rapid.Int64Range(0, maxTimeUS).Draw(t, "occurred"),
		engagedMS:  rapid.Int32().Draw(t, "engaged"),
		offset:     offset,
	}
	for i := range e.text {
		e.text[i] = []byte(rapid.SampledFrom([]string{"", "/a", "/b"}).Draw(t, "text"))
		if i >= textCampaign && len(e.text[i]) > 0 {
			e.text[i] = protowire.AppendTag(nil, 1, protowire.BytesType)
			e.text[i] = protowire.AppendString(e.text[i], rapid.StringN(1, 8, -1).Draw(t, "name"))
		}
		if len(e.text[i]) == 0 {
			e.text[i] = nil
		}
	}
	return e
}

// TestOneVisitorIsBounded sends from one visitor more than a record of the changelog may hold: of
// long texts, of ids, and of late visits that lie far apart.
func TestOneVisitorIsBounded(t *testing.T) {
	const recordBytes = 1 << 20
	for _, flood := range []struct {
		name          string
		beacons, text int
		apart         time.Duration // into the past
	}{
		{"texts", 2_000, 4_000, 0},
		{"ids", 60_000, 0, 0},
		{"late visits", 2_000, 0, time.Hour},
	} {
		t.Run(flood.name, func(t *testing.T) {
			m := New(DefaultConfig(), 0)
			var out stage.Output
			start := storyDay().UnixMicro()
			for i := range flood.beacons {
				at := start + int64(i)*1000
				m.Apply([]stage.Record{encoded(t, int64(i), at/1000, beaconEntry(&schemas.Beacon{
					EventId: fmt.Sprintf("0189-%032d", i), Site: "s", VisitorId: "v",
					Consent: schemas.Consent_CONSENT_IDENTIFIED, ClockUs: at,
					OccurredAtUs: at - int64(i)*flood.apart.Microseconds(),
					Url:          strings.Repeat("x", flood.text) + fmt.Sprint(i),
				}))}, &out)
				for _, v := range m.sessions.visitors.of {
					if len(v.open) > maxVisits || len(v.closed) > maxVisits {
						t.Fatalf("%d open, %d closed", len(v.open), len(v.closed))
					}
					remembered := 0
					for _, c := range v.closed {
						remembered += len(c.ids)
					}
					if remembered > maxClosedIDs {
						t.Fatalf("%d ids are remembered", remembered)
					}
				}
				if i%500 == 499 {
					m.Checkpoint(func(key, value []byte) {
						if len(key)+len(value) > recordBytes {
							t.Fatalf("the state of %q takes %d bytes", key, len(value))
						}
					})
				}
			}
			m.sessions.emit = func(_, _ []byte) {}
			full := m.Counts().Visits
			m.sessions.flush()
			if full == 0 || m.Counts().Duplicates != 0 {
				t.Fatalf("nothing was full: %+v", m.Counts())
			}
		})
	}
}

func TestRestoreRefuses(t *testing.T) {
	newer, err := (&schemas.PartitionState{Version: stateVersion + 1}).MarshalVT()
	if err != nil {
		t.Fatal(err)
	}
	hollow, err := (&schemas.VisitorState{Open: []*schemas.OpenVisit{{}}}).MarshalVT()
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name, key string
		value     []byte
		want      string
	}{
		{"a newer format", "", newer, "format 2"},
		{"no key", "nokey", nil, "site and visitor"},
		{"no message", "s\x00v", []byte{0xff}, "EOF"},
		{"no partition", "", []byte{0xff}, "EOF"},
		{"an empty visit", "s\x00v", hollow, "without beacons"},
	} {
		err := New(DefaultConfig(), 0).Restore([]byte(test.key), test.value)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q in it", test.name, err, test.want)
		}
	}
}

// FuzzRestore says that a state is refused or can be gone on with.
func FuzzRestore(f *testing.F) {
	m := New(DefaultConfig(), 0)
	var out stage.Output
	m.Apply([]stage.Record{encoded(f, 0, 1, beaconEntry(fullBeacon()))}, &out)
	m.Checkpoint(func(key, value []byte) { f.Add(key, value) })
	f.Fuzz(func(t *testing.T, key, value []byte) {
		m := New(DefaultConfig(), 0)
		if m.Restore(key, value) != nil {
			return
		}
		var out stage.Output
		m.Apply([]stage.Record{
			encoded(t, 1, 1, beaconEntry(fullBeacon())),
			encoded(t, 2, 2, &schemas.BeaconRecord{
				Entry: &schemas.BeaconRecord_Flush{Flush: &schemas.Flush{}},
			}),
		}, &out)
		m.Checkpoint(func(key, value []byte) {
			if value == nil {
				return
			}
			if err := New(DefaultConfig(), 0).Restore(key, value); err != nil {
				t.Fatalf("what it writes it refuses: %v", err)
			}
		})
	})
}

func TestIDSet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var set idSet
		from := newPools()
		want := map[uint64]bool{}
		for range rapid.IntRange(1, 100).Draw(t, "n") {
			id := rapid.OneOf(rapid.Uint64Range(1, 60), rapid.Uint64Min(1)).Draw(t, "id")
			if set.has(id) != want[id] {
				t.Fatalf("has(%d) = %t", id, set.has(id))
			}
			set.add(id, &from.ids)
			want[id] = true
		}
		sorted := set.take(&from.ids)
		if len(sorted) != len(want) {
			t.Fatalf("%d ids, want %d", len(sorted), len(want))
		}
		for i, id := range sorted {
			if !want[id] || i > 0 && sorted[i-1] >= id {
				t.Fatalf("sorted: %v", sorted)
			}
		}
	})
}

func TestQueue(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var q queue[int64]
		left := 0
		for range rapid.IntRange(0, 100).Draw(t, "n") {
			if left > 0 && rapid.Bool().Draw(t, "pop") {
				first := q[0].atUS
				if got := q.pop(); got != first || q.dueBefore(got) {
					t.Fatalf("popped %d, first was %d", got, first)
				}
				left--
				continue
			}
			at := rapid.Int64Range(0, 50).Draw(t, "at")
			q.push(at, at)
			left++
		}
		if len(q) != left {
			t.Fatalf("%d left, want %d", len(q), left)
		}
	})
}
