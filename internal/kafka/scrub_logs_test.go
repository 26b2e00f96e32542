package kafka

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

func commitTo(t *testing.T, r *reopened, group string, offset int64) {
	t.Helper()
	tx, err := r.client.NewTransactional(t.Context(), group)
	if err != nil {
		t.Fatal(err)
	}
	err = tx.Commit(t.Context(), Commit{Group: group, Topic: "in", Offset: offset, Generation: -1})
	if err != nil {
		t.Fatal(err)
	}
}

func committed(t *testing.T, r *reopened, group string) int64 {
	t.Helper()
	offset, _, err := r.client.Committed(t.Context(), group, "in", 0)
	if err != nil {
		t.Fatal(err)
	}
	return offset
}

// TestScrubOfStateLogs damages the logs of groups and producers in the middle and at the end.
func TestScrubOfStateLogs(t *testing.T) {
	for _, c := range []struct {
		name         string
		hurt         func(t *testing.T, dir string)
		first, third int64 // what the groups have committed afterwards, -1 for nothing
		damage       string
		torn         bool
	}{
		{name: "none", hurt: func(*testing.T, string) {}, first: 1, third: 3},
		{
			name: "groups flipped", hurt: hurtLog("groups.log", false), first: -1, third: 3,
			damage: "groups.log",
		},
		{name: "groups torn", hurt: hurtLog("groups.log", true), first: 1, third: -1, torn: true},
		{
			name: "producers flipped", hurt: hurtLog("pids.log", false), first: 1, third: 3,
			damage: "pids.log",
		},
		// Without its last entry the last commit is one that nobody was told of.
		{name: "producers torn", hurt: hurtLog("pids.log", true), first: 1, third: -1, torn: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			r := reopen(t, dir)
			ensure(t, r.client, 1, "in")
			writeRecords(t, r.client, 0, 0, 5)
			for i, group := range []string{"first", "second", "third"} {
				commitTo(t, r, group, int64(i+1))
			}
			dir = crashed(t, dir)
			c.hurt(t, dir)
			after := reopen(t, dir)
			for group, want := range map[string]int64{"first": c.first, "second": 2, "third": c.third} {
				if got := committed(t, after, group); got != want {
					t.Errorf("%s has committed %d, want %d", group, got, want)
				}
			}
			found := after.Damage()
			var files []string
			for _, d := range found {
				files = append(files, d.File)
			}
			if strings.Join(files, " ") != c.damage {
				t.Errorf("damage %v, want of %q", found, c.damage)
			}
			if torn := value(t, after.metrics, "crumbtrail_broker_torn_bytes_total"); torn > 0 != c.torn {
				t.Errorf("%v torn bytes, want some: %t", torn, c.torn)
			}
			// What is written now must not stand behind something unreadable.
			commitTo(t, after, "first", 4)
			commitTo(t, after, "third", 5)
			again := reopen(t, crashed(t, dir))
			if len(again.Damage()) != len(found) {
				t.Errorf("after another crash damage %v, before it %v", again.Damage(), found)
			}
			for group, want := range map[string]int64{"first": 4, "third": 5} {
				if got := committed(t, again, group); got != want {
					t.Errorf("after another crash %s has committed %d, want %d", group, got, want)
				}
			}
		})
	}
}

// hurtLog flips a byte in an entry of a state log: in the last, or in the first that names the
// group and producer "first".
func hurtLog(name string, last bool) func(t *testing.T, dir string) {
	return func(t *testing.T, dir string) {
		var at int64
		change(t, filepath.Join(dir, name), func(b []byte) []byte {
			for end, ok := entryAt(b, 0); ok; end, ok = entryAt(b, int(at)) {
				entry := string(b[at:end])
				named := strings.Contains(entry, `"commit","g":"t.first"`) ||
					strings.Contains(entry, `"txid":"t.first"`)
				if last && end == len(b) || !last && named {
					b[at+entryHeader+12] ^= 1
					return b
				}
				at = int64(end)
			}
			t.Fatalf("%s has no such entry", name)
			return nil
		})
	}
}

// FuzzScanLog looks for bytes of a state log that lead the scan astray.
func FuzzScanLog(f *testing.F) {
	var whole []byte
	for i := range 4 {
		entry := fmt.Appendf(nil, `{"type":"commit","g":"g","t":"t","o":%d}`, i)
		whole = append(whole, frameEntry(entry)...)
	}
	f.Add(whole)
	f.Add(whole[:len(whole)-3])
	f.Add(append(bytes.Repeat([]byte{0}, 9), whole...))
	f.Fuzz(func(t *testing.T, data []byte) {
		read := 0
		s := scanLog(data, func(b []byte) { read += entryHeader + len(b) })
		var at, kept int64
		for i, j := 0, 0; i < len(s.whole) || j < len(s.holes); {
			if i < len(s.whole) && s.whole[i].from == at {
				at = s.whole[i].to
				kept += at - s.whole[i].from
				i++
				continue
			}
			if j == len(s.holes) || s.holes[j].from != at || s.holes[j].to <= at {
				t.Fatalf("nothing accounts for byte %d: %v %v", at, s.whole, s.holes)
			}
			at = s.holes[j].to
			j++
		}
		if s.tail != (span{at, int64(len(data))}) || kept != int64(read) {
			t.Fatalf("tail %v behind %d of %d, %d bytes kept, %d read", s.tail, at, len(data), kept, read)
		}
	})
}

// FuzzScanSegment looks for bytes of a segment that lead the scan astray.
func FuzzScanSegment(f *testing.F) {
	enc := newBatchEncoder()
	var whole []byte
	for i := range 4 {
		b := enc.encode(nil, []Message{{Value: []byte(recordOf(i))}}, producerStamp{})
		binary.BigEndian.PutUint64(b, uint64(i))
		whole = append(whole, b...)
	}
	f.Add(whole, false)
	f.Add(whole[:len(whole)-3], true)
	f.Add(append(whole[:100:100], whole[130:]...), false)
	f.Add(append(whole[:5:5], whole...), false)
	f.Fuzz(func(t *testing.T, data []byte, sparse bool) {
		r := newSegmentReader(strictReader{t, data}, int64(len(data)))
		var kept, last, next int64
		s, err := r.scan(0, 0, sparse, func(b frame) bool {
			if b.at < last || b.end() > int64(len(data)) || b.base < next || b.next <= b.base {
				t.Fatalf("batch %+v behind position %d and offset %d", b, last, next)
			}
			kept, last, next = kept+b.size, b.end(), b.next
			return true
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, finding := range s.findings {
			if finding.base < 0 {
				kept += finding.bytes.to - finding.bytes.from
			}
		}
		if kept += s.tail.to - s.tail.from; kept != int64(len(data)) {
			t.Fatalf("%d of %d bytes are accounted for", kept, len(data))
		}
		if cap(r.window) != segmentWindow {
			t.Fatalf("the window has grown to %d", cap(r.window))
		}
	})
}

// strictReader fails the test where somebody reads past the end.
type strictReader struct {
	t    *testing.T
	data []byte
}

// ReadAt reads from the middle.
func (r strictReader) ReadAt(b []byte, at int64) (int, error) {
	if at < 0 || at+int64(len(b)) > int64(len(r.data)) {
		r.t.Fatalf("read %d bytes at %d of %d", len(b), at, len(r.data))
	}
	return copy(b, r.data[at:]), nil
}
