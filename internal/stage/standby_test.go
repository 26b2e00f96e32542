package stage

import (
	"encoding/binary"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// follower is a counter that goes from one checkpoint to the next. A checkpoint has a mark for each
// key whose count is odd, which goes when it is even, and the sum of all counts: half a checkpoint,
// or one that lacks a tombstone, contradicts itself.
type follower struct {
	*counter
	odd   map[string]bool
	sum   uint64
	whole bool
}

// The keys of a follower's checkpoint beside those of a counter.
const (
	oddMark = "odd "
	sumKey  = "sum"
)

func newFollower(partition int32, rules []byte) (Machine, error) {
	c, err := newCounter(partition, rules)
	if err != nil {
		return nil, err
	}
	return &follower{counter: c.(*counter), odd: map[string]bool{}}, nil
}

func (f *follower) Apply(batch []Record, out *Output) {
	if !f.whole {
		panic("applied to half a checkpoint")
	}
	f.counter.Apply(batch, out)
}

func (f *follower) Checkpoint(put func(key, value []byte)) {
	for key := range f.changed {
		var mark []byte
		if f.counts[key]%2 == 1 {
			mark = []byte("1")
		}
		put([]byte(oddMark+key), mark)
	}
	f.counter.Checkpoint(put)
	put([]byte(sumKey), fmt.Append(nil, f.total()))
}

func (f *follower) total() (sum uint64) {
	for _, n := range f.counts {
		sum += n
	}
	return sum
}

func (f *follower) Restore(key, value []byte) (err error) {
	f.whole = false
	name := string(key)
	marked, isMark := strings.CutPrefix(name, oddMark)
	switch {
	case name == sumKey:
		f.sum, err = strconv.ParseUint(string(value), 10, 64)
		return err
	case isMark && value == nil:
		delete(f.odd, marked)
	case isMark:
		f.odd[marked] = true
	default:
		n, _ := binary.Uvarint(value)
		f.counts[name] = n
	}
	return nil
}

func (f *follower) Restored() error {
	if total := f.total(); total != f.sum {
		return fmt.Errorf("the counts add up to %d, want %d", total, f.sum)
	}
	for key, n := range f.counts {
		if f.odd[key] != (n%2 == 1) {
			return fmt.Errorf("key %s was counted %d times, odd %t", key, n, f.odd[key])
		}
	}
	f.whole = true
	return nil
}

// pair is a member that works on the only partition of a log and one that stands by.
type pair struct {
	*memory
	owner, standby *member

	asked sync.Mutex // by both members at once
	dead  bool       // the owner reaches the log no more
	// cut keeps the standby from the changelog; inits and fetches are what it asks.
	cut            bool
	inits, fetches int
	made           []string // rules of each machine
}

// newPair starts the two and has them count so many records.
func newPair(t *testing.T, owner, standby Config, records int) *pair {
	t.Helper()
	p := &pair{memory: newMemory(1, "in", "out", "log")}
	p.memory.maker = func(partition int32, rules []byte) (Machine, error) {
		p.asked.Lock()
		defer p.asked.Unlock()
		p.made = append(p.made, string(rules))
		return newFollower(partition, rules)
	}
	p.owner = p.start(t, "owner", owner, func(string, bool) error {
		p.asked.Lock()
		defer p.asked.Unlock()
		if p.dead {
			return io.ErrClosedPipe
		}
		return nil
	})
	p.count(0, records/2)
	p.standby = p.start(t, "standby", standby, func(request string, after bool) error {
		p.asked.Lock()
		defer p.asked.Unlock()
		switch {
		case after:
		case request == "init":
			p.inits, p.fetches = p.inits+1, 0
		case request == "fetch log" && p.cut:
			return io.EOF
		case request == "fetch log":
			p.fetches++
		}
		return nil
	})
	p.count(records/2, records)
	return p
}

// count produces records little by little, so that there are many checkpoints. It sleeps in a
// synctest bubble.
func (p *pair) count(from, to int) {
	for ; from < to; from += 10 {
		p.produce(from, min(to, from+10))
		time.Sleep(time.Second)
	}
	synctest.Wait()
}

// separate keeps the standby from the changelog, or lets it there again.
func (p *pair) separate(cut bool) {
	p.asked.Lock()
	defer p.asked.Unlock()
	p.cut = cut
}

// kill ends the owner with what it has not committed.
func (p *pair) kill() {
	p.asked.Lock()
	p.dead = true
	p.asked.Unlock()
	p.owner.cancel()
	<-p.owner.done
	p.expel("owner")
}

// A standby has the state before the partition comes to it: it reads the end of the changelog alone
// then, after it has fenced the owner, and goes on from where that one had committed.
func TestStandbyTakesOverWarm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := Config{Commit: 100 * time.Millisecond, Checkpoint: time.Second}
		p := newPair(t, cfg, cfg, 600)
		if words := p.standby.Standby(); !strings.Contains(words, "is here") {
			t.Errorf("the standby says %q", words)
		}
		if words := p.owner.Standby(); words != "" {
			t.Errorf("the owner says %q", words)
		}
		if err := p.standby.Ready(); err != nil {
			t.Error(err)
		}
		ready := p.standby.metric(t, "crumbtrail_stage_standby_partitions")
		if lag := p.standby.metric(t, "crumbtrail_stage_standby_lag_records"); ready != 1 || lag != 0 {
			t.Errorf("%v partitions stand by, %v records behind", ready, lag)
		}
		size := p.standby.metric(t, "crumbtrail_stage_state_bytes")
		p.produce(600, 603)
		p.kill()
		if p.inits != 0 {
			t.Error("the standby has fenced the owner before the partition was its own")
		}
		p.count(603, 700)
		cold := len(p.values("log")) / 20
		if p.inits != 1 || p.fetches > 3 || cold < 20 {
			t.Errorf("taken over %d times, the last time with %d fetches; a cold start has 2 times %d",
				p.inits, p.fetches, cold)
		}
		if words := p.standby.Standby(); words != "" {
			t.Errorf("the new owner says %q", words)
		}
		if now := p.standby.metric(t, "crumbtrail_stage_state_bytes"); size == 0 || now != size {
			t.Errorf("state of %v bytes on standby and %v at work", size, now)
		}
		if n := p.standby.metric(t, "crumbtrail_stage_standby_partitions"); n != 0 {
			t.Errorf("%v partitions stand by", n)
		}
		p.standby.stop(t)
		if diff := cmp.Diff(want(700, 3), p.values("out")); diff != "" {
			t.Error(diff)
		}
	})
}

// What the owner had not made a checkpoint of is replayed under its rules, so a standby with other
// rules begins anew.
func TestStandbyUnderOtherRules(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := Config{Commit: 100 * time.Millisecond, Checkpoint: time.Minute, Rules: []byte("3")}
		next := cfg
		next.Rules = []byte("5")
		p := newPair(t, cfg, next, 1287)
		before := len(p.made)
		p.kill()
		p.count(1287, 2600)
		p.standby.stop(t)
		if diff := cmp.Diff([]string{"3", "5"}, p.made[before:]); diff != "" {
			t.Errorf("rules of the machines after the kill: %s", diff)
		}
		var values []string
		for _, v := range want(2600, 1) { // each key had 99 records when the rules changed
			key, number, _ := strings.Cut(v, " ")
			n, _ := strconv.Atoi(number)
			if n <= 99 && n%3 == 0 || n > 99 && n%5 == 0 {
				values = append(values, key+" "+number)
			}
		}
		slices.Sort(values)
		if diff := cmp.Diff(values, p.values("out")); diff != "" {
			t.Error(diff)
		}
	})
}

// Who was cut off for so long that compaction may have taken tombstones away reads all of it again.
func TestStandbyThatFellBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := Config{Commit: 100 * time.Millisecond, Checkpoint: time.Second}
		p := newPair(t, cfg, cfg, 300)
		p.separate(true)
		p.count(300, 413)
		time.Sleep(2 * staleAfter)
		p.compact()
		p.separate(false)
		time.Sleep(time.Minute)
		synctest.Wait()
		if words := p.standby.Standby(); !strings.Contains(words, "is here") {
			t.Errorf("the standby says %q:\n%s", words, p.standby.log)
		}
		if !strings.Contains(p.standby.log.String(), "read back anew") {
			t.Errorf("it does not say that it begins anew:\n%s", p.standby.log)
		}
		p.kill()
		p.count(413, 500)
		p.standby.stop(t)
		if diff := cmp.Diff(want(500, 3), p.values("out")); diff != "" {
			t.Error(diff)
		}
	})
}

// compact takes tombstones away and what a later record of the key has replaced. Something harmless
// stands in their places.
func (m *memory) compact() {
	m.mu.Lock()
	defer m.mu.Unlock()
	log := m.topics["log"][0]
	last := map[string]int{}
	var rules Record
	for i, r := range log {
		last[string(r.Key)] = i
		if string(r.Key) == rulesKey {
			rules = r
		}
	}
	for i, r := range log {
		if last[string(r.Key)] != i || r.Value == nil {
			log[i] = Record{Offset: r.Offset, Key: rules.Key, Value: rules.Value}
		}
	}
}

// A state that is too large for this process is not held, which is no reason to stop.
func TestStandbyBeyondTheLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := Config{Commit: 100 * time.Millisecond, Checkpoint: time.Second}
		small := cfg
		small.MaxState = 900 // of 13 keys, 100 bytes each
		p := newPair(t, cfg, small, 300)
		if !strings.Contains(p.standby.log.String(), "no standby") {
			t.Errorf("it does not say so:\n%s", p.standby.log)
		}
		if n := p.standby.metric(t, "crumbtrail_stage_state_bytes"); n != 0 {
			t.Errorf("it holds %v bytes", n)
		}
		p.standby.stop(t)
		p.owner.stop(t)
	})
}

// A changelog that forgets too soon that a key is gone is no good to a standby.
func TestTombstonesThatGoTooSoon(t *testing.T) {
	log := newLog()
	log.configs["log"]["delete.retention.ms"] = "60000"
	cfg := Config{Name: "count", Input: "in", Changelog: "log", Rules: []byte("3")}
	follows := func(cfg Config, follows bool) error {
		return checkKept(t.Context(), cfg, &door{memory: log, name: "m"}, follows)
	}
	if err := follows(cfg, false); err != nil {
		t.Error(err)
	}
	if err := follows(cfg, true); err == nil || !strings.Contains(err.Error(), "delete.retention.ms") {
		t.Errorf("a standby that may miss tombstones: %v", err)
	}
}
