package benchmarks

import (
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"crumbtrail/benchmarks/load"
	"crumbtrail/internal/kafka"
	"crumbtrail/internal/stage"
	"crumbtrail/schemas"
	"crumbtrail/sessionize"
)

const testPartitions = 4

// machines are the sessionizer's cores, one for each partition.
type machines struct {
	all    []*sessionize.Machine
	offset int64
	out    stage.Output
}

func newMachines() *machines {
	m := &machines{}
	for p := range testPartitions {
		m.all = append(m.all, sessionize.New(sessionize.DefaultConfig(), int32(p)))
	}
	return m
}

func (m *machines) apply(messages []kafka.Message) {
	for _, msg := range messages {
		m.offset++
		m.all[msg.Partition].Apply([]stage.Record{{
			Offset: m.offset, Timestamp: msg.Timestamp, Key: msg.Key, Value: msg.Value,
		}}, &m.out)
	}
}

// state sums what the machines have counted, and how many partitions put something out.
func (m *machines) state() (sum sessionize.Counts, putOut int) {
	for _, machine := range m.all {
		c := machine.Counts()
		sum.Beacons += c.Beacons
		sum.Duplicates += c.Duplicates
		sum.Late += c.Late
		sum.Visits += c.Visits
		sum.Open += c.Open
		if c.Visits > 0 {
			putOut++
		}
	}
	return sum, putOut
}

// The load's own count is what the sessionizer makes of it.
func TestShopGivesItsVisits(t *testing.T) {
	const events = 30_000
	w, m := load.NewWriter(testPartitions), newMachines()
	for s := load.NewShop(w, events, 2000); s.Next(); {
	}
	m.apply(w.Take())
	whole := 0
	for _, msg := range m.out.Messages() {
		var v schemas.Visit
		if err := v.UnmarshalVT(msg.Value); err != nil {
			t.Fatal(err)
		}
		if v.StartReason != "max_visit" {
			whole++
		}
	}
	if want := w.Visits(gap); whole != want || whole < events/10 {
		t.Errorf("%d visits, the load has %d", whole, want)
	}
	got, _ := m.state()
	want := sessionize.Counts{Beacons: events, Visits: got.Visits}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// The visits of a recovery are open before the last round, and stay so while the brief ones close
// in every partition.
func TestOpenVisitsStayOpen(t *testing.T) {
	const visits = 700
	b, m := &bed{writer: load.NewWriter(testPartitions)}, newMachines()
	for next := b.openVisits(visits, 0, rounds-1); next(); {
	}
	m.apply(b.writer.Take())
	got, _ := m.state()
	want := sessionize.Counts{Beacons: brief + (rounds-1)*visits, Open: brief + visits}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("before the last round: %s", diff)
	}
	for next := b.openVisits(visits, rounds-1, rounds); next(); {
	}
	m.apply(b.writer.Take())
	got, putOut := m.state()
	want = sessionize.Counts{Beacons: brief + rounds*visits, Visits: brief, Open: visits}
	if diff := cmp.Diff(want, got); diff != "" || putOut != testPartitions {
		t.Errorf("after it, with visits from %d partitions: %s", putOut, diff)
	}
}

// A live visit counts as closed when the sessionizer has put it out.
func TestLiveVisitsCloseWhereTheyAreSaidTo(t *testing.T) {
	b, m := &bed{writer: load.NewWriter(testPartitions)}, newMachines()
	b.partitions = testPartitions
	l := newLive(b)
	for range 4000 {
		l.beacon()
		m.apply(b.writer.Take())
		l.acknowledged(time.Now())
		if got, _ := m.state(); got.Visits != int64(len(l.closed)) {
			t.Fatalf("after %d beacons %d visits are out, %d are said to be", b.writer.Beacons(),
				got.Visits, len(l.closed))
		}
	}
	if len(l.closed) < 500 {
		t.Errorf("only %d visits closed", len(l.closed))
	}
}

func TestVisitSeenTwiceIsAnError(t *testing.T) {
	w := &watcher{seen: map[string]time.Time{}}
	key := schemas.VisitorKey(load.Site, schemas.VisitorID(load.VisitorID(1)))
	if err := w.take([]kafka.Record{{Key: key}}, time.Now()); err != nil {
		t.Fatal(err)
	}
	if w.take([]kafka.Record{{Key: key}}, time.Now()) == nil {
		t.Error("a visit was seen twice, and nobody minds")
	}
}

func TestUsing(t *testing.T) {
	if _, err := os.Stat("/proc/self/stat"); err != nil {
		t.Skip("no /proc")
	}
	self, err := os.FindProcess(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	p := &process{cmd: &exec.Cmd{Process: self}}
	if u := p.using(); u.peakRSSBytes < 1<<20 || u.peakRSSBytes > 1<<40 || u.core() > time.Hour {
		t.Errorf("this process took %+v", u)
	}
}

func TestLogLines(t *testing.T) {
	p := &process{listens: make(chan string, 1), admin: make(chan string, 1)}
	p.line([]byte(`{"level":"INFO","msg":"admin listens","url":"http://127.0.0.1:81"}`))
	p.line([]byte(`{"msg":"partition taken over","offset":9,"checkpoint":4,"keys":3,"seconds":0.5}`))
	p.line([]byte(`panic: no JSON`))
	if url := <-p.admin; url != "http://127.0.0.1:81" {
		t.Errorf("listens on %q", url)
	}
	want := []takeOver{{Keys: 3, Offset: 9, Checkpoint: 4, Seconds: 0.5}}
	if diff := cmp.Diff(want, p.took); diff != "" || len(p.tail) != 3 {
		t.Errorf("%d lines kept, %s", len(p.tail), diff)
	}
}
