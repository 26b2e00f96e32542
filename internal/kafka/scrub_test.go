package kafka

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
)

// crashed returns a directory as kill -9 leaves it: what a running broker has written so far, and
// nothing of what it writes as it closes.
func crashed(t testing.TB, dir string) string {
	t.Helper()
	to := t.TempDir()
	if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	return to
}

// written makes a broker's directory with batches of one record each in two partitions. killed is
// the directory as kill -9 leaves it, closed as Close does.
func written(t testing.TB, batches int, configs map[string]string) (killed, closed string) {
	t.Helper()
	dir := t.TempDir()
	broker, client := embedded(t, dir)
	spec := TopicSpec{Name: "in", Partitions: 2, Replication: 1, Configs: configs}
	if err := client.EnsureTopics(t.Context(), []TopicSpec{spec}); err != nil {
		t.Fatal(err)
	}
	for p := range int32(2) {
		writeRecords(t, client, p, 0, batches)
	}
	crash := crashed(t, dir)
	client.Close()
	broker.Close()
	return crash, dir
}

// fourBatches has segments sealed at four of the batches that written makes.
func fourBatches() map[string]string { return map[string]string{"segment.bytes": "400"} }

func recordOf(i int) string { return fmt.Sprintf("record %03d %s", i, strings.Repeat("x", 40)) }

// writeRecords writes records from to to, one batch each.
func writeRecords(t testing.TB, client *Client, partition int32, from, to int) {
	t.Helper()
	producer, err := client.NewProducer(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i := from; i < to; i++ {
		m := Message{
			Topic: "in", Partition: partition,
			Key: fmt.Appendf(nil, "%d", i), Value: []byte(recordOf(i)),
		}
		if err := producer.Produce(t.Context(), []Message{m}); err != nil {
			t.Fatal(err)
		}
	}
}

// reopened is a broker that was started on a directory.
type reopened struct {
	*Broker
	client  *Client
	metrics *prometheus.Registry
	dir     string
}

func reopen(t testing.TB, dir string) *reopened {
	t.Helper()
	r := &reopened{metrics: prometheus.NewRegistry(), dir: dir}
	var err error
	r.Broker, err = Embedded(EmbeddedConfig{
		Dir: dir, Log: slog.New(slog.DiscardHandler), Metrics: r.metrics,
	})
	if err != nil {
		t.Fatal(err)
	}
	r.client, err = Dial(Config{Brokers: []string{r.Addr()}, Prefix: "t."})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.stop)
	return r
}

func (r *reopened) stop() {
	if r.Broker != nil {
		r.client.Close()
		r.Close()
		r.Broker = nil
	}
}

// values reads partition 0 from its first offset, and how many offsets are missing.
func (r *reopened) values(t testing.TB) (values []string, missing int64) {
	t.Helper()
	ends, err := r.client.Ends(t.Context(), "in")
	if err != nil {
		t.Fatal(err)
	}
	for offset := int64(0); offset < ends[0]; {
		f, err := r.client.Fetch(t.Context(), "in", 0, offset, FetchWait)
		if errors.Is(err, ErrOffsetOutOfRange) && offset < ends[0] {
			// The first segments are gone: the log starts later.
			missing, offset = missing+1, offset+1
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, rec := range f.Records {
			values = append(values, string(rec.Value))
		}
		missing += f.Missing
		offset = f.Next
	}
	return values, missing
}

func segments(t testing.TB, dir string) []string {
	t.Helper()
	s := scrub{dir: dir, open: openSegment}
	p, err := s.partitionFiles(&topicAtRest{Name: "t.in"}, 0)
	if err != nil {
		t.Fatal(err)
	}
	var paths []string
	for _, base := range p.segments {
		paths = append(paths, p.segment(base))
	}
	return paths
}

func indexPath(segment string) string { return strings.TrimSuffix(segment, ".dat") + ".idx" }

func change(t testing.TB, path string, fn func([]byte) []byte) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, fn(b), 0o644); err != nil {
		t.Fatal(err)
	}
}

func remove(t testing.TB, paths ...string) {
	t.Helper()
	for _, p := range paths {
		if err := os.Remove(p); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
	}
}

// frames lists the batches of a segment.
func frames(t testing.TB, path string) (out []frame) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	first, _, err := newSegmentReader(bytes.NewReader(b), int64(len(b))).header(0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = newSegmentReader(bytes.NewReader(b), int64(len(b))).scan(0, first.base, true,
		func(f frame) bool { out = append(out, f); return true })
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func flip(at int64) func([]byte) []byte {
	return func(b []byte) []byte { b[at] ^= 0x10; return b }
}

// allBut returns the records without some of them.
func allBut(n int, lost ...int) (out []string) {
	for i := range n {
		if !slices.Contains(lost, i) {
			out = append(out, recordOf(i))
		}
	}
	return out
}

const tableBatches = 23

// TestScrub damages the files of a broker that was killed, starts one on them, and looks at what it
// says and at what a reader sees.
func TestScrub(t *testing.T) {
	for _, c := range []struct {
		name   string
		hurt   func(t *testing.T, dir string)
		want   []string
		gone   int64 // missing offsets, as a reader counts them
		damage bool
		torn   bool
	}{
		{name: "none", hurt: func(*testing.T, string) {}, want: allBut(tableBatches)},
		{
			name: "tail cut", want: allBut(tableBatches - 1), torn: true,
			hurt: func(t *testing.T, dir string) {
				last := segments(t, dir)
				change(t, last[len(last)-1], func(b []byte) []byte { return b[:len(b)-7] })
			},
		},
		{
			name: "tail flipped", want: allBut(tableBatches - 1), torn: true,
			hurt: func(t *testing.T, dir string) {
				last := segments(t, dir)
				change(t, last[len(last)-1], func(b []byte) []byte { b[len(b)-9] ^= 1; return b })
			},
		},
		{
			name: "zeros appended", want: allBut(tableBatches), torn: true,
			hurt: func(t *testing.T, dir string) {
				last := segments(t, dir)
				change(t, last[len(last)-1], func(b []byte) []byte { return append(b, make([]byte, 64)...) })
			},
		},
		{name: "index deleted", want: allBut(tableBatches), hurt: func(t *testing.T, dir string) {
			remove(t, indexPath(segments(t, dir)[0]))
		}},
		{name: "index entry flipped", want: allBut(tableBatches), hurt: func(t *testing.T, dir string) {
			change(t, indexPath(segments(t, dir)[0]), flip(indexFlags))
		}},
		{
			name: "byte flipped in the middle", want: allBut(tableBatches, 1), gone: 1, damage: true,
			hurt: func(t *testing.T, dir string) {
				s := segments(t, dir)[0]
				change(t, s, flip(frames(t, s)[1].at+70))
			},
		},
		{
			name: "length flipped in the middle", want: allBut(tableBatches, 1), gone: 1, damage: true,
			hurt: func(t *testing.T, dir string) {
				s := segments(t, dir)[0]
				change(t, s, flip(frames(t, s)[1].at+atLength+2))
			},
		},
		{
			name: "first offset flipped", want: allBut(tableBatches), damage: true,
			hurt: func(t *testing.T, dir string) {
				s := segments(t, dir)[0]
				change(t, s, flip(frames(t, s)[1].at+7))
			},
		},
		{
			name: "last batch of a sealed segment flipped",
			want: allBut(tableBatches, 3), gone: 1, damage: true,
			hurt: func(t *testing.T, dir string) {
				s := segments(t, dir)[0]
				change(t, s, flip(frames(t, s)[3].at+70))
			},
		},
		{
			name: "index deleted and byte flipped", want: allBut(tableBatches, 2), gone: 1, damage: true,
			hurt: func(t *testing.T, dir string) {
				s := segments(t, dir)[0]
				change(t, s, flip(frames(t, s)[2].at+70))
				remove(t, indexPath(s))
			},
		},
		{
			name: "segment deleted in the middle",
			want: allBut(tableBatches, 4, 5, 6, 7), gone: 4, damage: true,
			hurt: func(t *testing.T, dir string) {
				s := segments(t, dir)[1]
				remove(t, s, indexPath(s))
			},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir, _ := written(t, tableBatches, fourBatches())
			if got := len(frames(t, segments(t, dir)[0])); got != 4 {
				t.Fatalf("a segment has %d batches, the table is made for 4", got)
			}
			c.hurt(t, dir)
			r := reopen(t, dir)
			values, missing := r.values(t)
			if diff := cmp.Diff(c.want, values); diff != "" {
				t.Error(diff)
			}
			if missing != c.gone {
				t.Errorf("%d offsets are missing, want %d", missing, c.gone)
			}
			var lost int64
			for _, d := range r.Damage() {
				lost += d.To - d.From
				if d.Topic != "t.in" || d.Partition != 0 {
					t.Errorf("damage is said to be in %v", d)
				}
			}
			if got := len(r.Damage()) > 0; got != c.damage || lost != c.gone {
				t.Errorf("damage %v", r.Damage())
			}
			if torn := value(t, r.metrics, "crumbtrail_broker_torn_bytes_total"); torn > 0 != c.torn {
				t.Errorf("%v torn bytes, want some: %t", torn, c.torn)
			}
			damaged := value(t, r.metrics, "crumbtrail_broker_damaged_partitions")
			if damaged > 0 != c.damage {
				t.Errorf("%v damaged partitions", damaged)
			}
			goesOn(t, r, c.want)
		})
	}
}

// goesOn writes one record more, and has it read after another crash.
func goesOn(t *testing.T, r *reopened, want []string) {
	t.Helper()
	before := r.Damage()
	ends, err := r.client.Ends(t.Context(), "in")
	if err != nil {
		t.Fatal(err)
	}
	writeRecords(t, r.client, 0, 900, 901)
	dir := crashed(t, r.dir)
	again := reopen(t, dir)
	values, _ := again.values(t)
	if diff := cmp.Diff(append(slices.Clone(want), recordOf(900)), values); diff != "" {
		t.Error("after another crash: ", diff)
	}
	f, err := again.client.Fetch(t.Context(), "in", 0, ends[0], FetchWait)
	if err != nil || len(f.Records) != 1 || string(f.Records[0].Value) != recordOf(900) {
		t.Errorf("offset %d after another crash: %v %v", ends[0], f, err)
	}
	if diff := cmp.Diff(before, again.Damage()); diff != "" {
		t.Error("the damage that is known: ", diff)
	}
}

func value(t testing.TB, reg *prometheus.Registry, name string) float64 {
	t.Helper()
	all, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range all {
		if m.GetName() == name {
			return m.GetMetric()[0].GetGauge().GetValue() + m.GetMetric()[0].GetCounter().GetValue()
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}
