package stage

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"crumbtrail/internal/kafka"
)

// memory is a log in memory with Kafka's rules: transactions are whole, a transactional id has one
// owner, a group's partitions are shared out anew when a member comes or goes. Each member reaches
// it through a door of its own, which a test can shut.
type memory struct {
	mu      sync.Mutex
	topics  map[string][][]Record
	commits map[string]commit // group/topic/partition
	epochs  map[string]int    // transactional id
	configs map[string]map[string]string
	grown   chan struct{} // closed and replaced at each append
	maker   MachineMaker  // of the members' machines

	members    []*membership
	generation int
}

type commit struct {
	offset   int64
	metadata string
}

type membership struct {
	name string
	gone bool
	// id is the generation that the member is in; it joins the next one once it has handed over.
	id      int
	changed chan struct{} // closed when a generation ends
}

func newMemory(partitions int, topics ...string) *memory {
	m := &memory{
		topics: map[string][][]Record{}, commits: map[string]commit{}, epochs: map[string]int{},
		grown: make(chan struct{}), maker: newCounter,
		configs: map[string]map[string]string{
			"in":  {"cleanup.policy": "delete", "retention.ms": "604800000"},
			"log": {"cleanup.policy": "compact"},
		},
	}
	for _, t := range topics {
		m.topics[t] = make([][]Record, partitions)
	}
	return m
}

func (m *memory) put(msgs []kafka.Message) {
	for _, msg := range msgs {
		parts := m.topics[msg.Topic]
		p := msg.Partition
		if p == kafka.AnyPartition {
			p = kafka.PartitionOf(msg.Key, len(parts))
		}
		parts[p] = append(parts[p], Record{
			Offset: int64(len(parts[p])), Timestamp: msg.Timestamp, Key: msg.Key, Value: msg.Value,
		})
	}
	close(m.grown)
	m.grown = make(chan struct{})
}

func (m *memory) append(msgs ...kafka.Message) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.put(msgs)
}

// values returns what a topic holds, sorted.
func (m *memory) values(topic string) (all []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, part := range m.topics[topic] {
		for _, r := range part {
			all = append(all, string(r.Value))
		}
	}
	slices.Sort(all)
	return all
}

func (m *memory) ends(topic string) (ends []int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, part := range m.topics[topic] {
		ends = append(ends, int64(len(part)))
	}
	return ends
}

// rebalance ends the generation; the next one begins when all members have joined it. m.mu is held.
func (m *memory) rebalance() {
	m.generation++
	m.members = slices.DeleteFunc(m.members, func(s *membership) bool { return s.gone })
	for _, s := range m.members {
		close(s.changed)
		s.changed = make(chan struct{})
	}
}

// complete says whether all members have joined the generation; m.mu is held.
func (m *memory) complete() bool {
	return !slices.ContainsFunc(m.members, func(s *membership) bool { return s.id != m.generation })
}

// expel takes a member out of the group as its session's end does.
func (m *memory) expel(name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range m.members {
		if s.name == name {
			s.gone = true
			close(s.changed)
		}
	}
	m.rebalance()
}

// door is one member's way to the log.
type door struct {
	*memory
	name string
	// fault, if set, is asked before each request, and again after it was carried out.
	fault func(request string, after bool) error
}

func (d *door) pass(request string, after bool) error {
	if d.fault == nil {
		return nil
	}
	return d.fault(request, after)
}

// around carries a request out between the two questions of fault.
func (d *door) around(request string, do func() error) error {
	if err := d.pass(request, false); err != nil {
		return err
	}
	d.mu.Lock()
	err := do()
	d.mu.Unlock()
	if err != nil {
		return err
	}
	return d.pass(request, true)
}

func (d *door) Partitions(_ context.Context, topic string) (n int, err error) {
	err = d.around("partitions", func() error { n = len(d.topics[topic]); return nil })
	return n, err
}

func (d *door) TopicConfig(_ context.Context, topic string) (config map[string]string, err error) {
	err = d.around("config", func() error { config = d.configs[topic]; return nil })
	return config, err
}

func (d *door) Starts(_ context.Context, topic string) (starts []int64, err error) {
	err = d.around("starts", func() error { starts = make([]int64, len(d.topics[topic])); return nil })
	return starts, err
}

func (d *door) Ends(_ context.Context, topic string) ([]int64, error) {
	err := d.pass("ends", false)
	return d.ends(topic), err
}

func (d *door) Fetch(
	ctx context.Context, topic string, partition int32, offset int64, wait time.Duration,
) (out kafka.Fetched, err error) {
	late := time.After(wait)
	for {
		var grown chan struct{}
		err := d.around("fetch "+topic, func() error {
			grown = d.grown
			all := d.topics[topic][partition]
			upTo := min(int64(len(all)), offset+20)
			out = kafka.Fetched{Records: all[offset:upTo], Next: upTo, Stable: int64(len(all))}
			return nil
		})
		if err != nil || out.Next > offset {
			return out, err
		}
		select {
		case <-grown:
		case <-late:
			return out, nil
		case <-ctx.Done():
			return out, ctx.Err()
		}
	}
}

func (d *door) Committed(
	_ context.Context, group, topic string, partition int32,
) (offset int64, metadata string, err error) {
	err = d.around("committed", func() error {
		c, ok := d.commits[fmt.Sprint(group, topic, partition)]
		if !ok {
			c.offset = -1
		}
		offset, metadata = c.offset, c.metadata
		return nil
	})
	return offset, metadata, err
}

func (d *door) Transactional(_ context.Context, id string, _ kafka.Reach) (Transactional, error) {
	tx := &memoryTransactional{door: d, id: id}
	err := d.around("init", func() error {
		d.epochs[id]++
		tx.epoch = d.epochs[id]
		return nil
	})
	return tx, err
}

type memoryTransactional struct {
	*door
	id    string
	epoch int
}

func (t *memoryTransactional) Commit(_ context.Context, c kafka.Commit) error {
	return t.around("commit", func() error {
		member := slices.ContainsFunc(t.members, func(s *membership) bool {
			return s.name == c.Member && s.id == c.Generation && !s.gone
		})
		if t.epochs[t.id] != t.epoch || !member {
			return fmt.Errorf("epoch %d, generation %d: %w", t.epoch, c.Generation, kafka.ErrFenced)
		}
		t.commits[fmt.Sprint(c.Group, c.Topic, c.Partition)] = commit{c.Offset, c.Metadata}
		t.put(c.Messages)
		return nil
	})
}

func (d *door) Share(
	ctx context.Context, _, topic string, hold func(context.Context, kafka.Assignment), _ func(error),
) error {
	var self *membership
	for ctx.Err() == nil {
		d.mu.Lock()
		if self == nil || self.gone {
			self = &membership{name: d.name, changed: make(chan struct{})}
			d.members = append(d.members, self)
			d.rebalance()
		}
		self.id = d.generation
		changed, complete := self.changed, d.complete()
		a := kafka.Assignment{Generation: self.id, Member: self.name}
		at := slices.Index(d.members, self)
		for p := range d.topics[topic] {
			if p%len(d.members) == at {
				a.Partitions = append(a.Partitions, int32(p))
			}
		}
		d.mu.Unlock()
		if !complete { // asks again, as a joining member is kept waiting
			kafka.Pause(ctx, time.Millisecond)
			continue
		}
		held, end := context.WithCancel(ctx)
		go func() {
			select {
			case <-changed:
			case <-ctx.Done():
			}
			end()
		}()
		hold(held, a)
		<-held.Done()
	}
	d.mu.Lock()
	if self != nil && !self.gone {
		self.gone = true
		d.rebalance()
	}
	d.mu.Unlock()
	return nil
}
