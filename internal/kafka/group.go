package kafka

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"sync"
	"time"

	kafkago "github.com/segmentio/kafka-go"
)

// Assignment is what one member of a group holds in one generation of it.
type Assignment struct {
	// Generation and Member go with every offset that is committed on the strength of it.
	Generation int
	Member     string
	// Partitions are in ascending order.
	Partitions []int32
}

const (
	// sessionTimeout is Config.Session where it says nothing.
	sessionTimeout = 6 * time.Second
	// heartbeats go out this many times within a session; one brings word of a rebalance.
	heartbeats = 6
	// rebalanceTimeout is how long the others wait for a member to hand its partitions over.
	rebalanceTimeout = 10 * time.Second
	joinPause        = 500 * time.Millisecond
)

// Share joins a group that shares out the partitions of a topic, and calls hold for each
// generation in which this process is a member, until ctx ends. The context of a hold ends with
// its generation: a hold must then commit what it has, return, and touch the partitions no more.
// Partitions stay with the member that has them as far as an even share allows. joining, if set,
// is told each time that a try to join has failed and will be repeated.
func (c *Client) Share(
	ctx context.Context, group, topic string, hold func(context.Context, Assignment),
	joining func(error),
) error {
	balancer := &sticky{topic: c.prefix + topic}
	g, err := kafkago.NewConsumerGroup(kafkago.ConsumerGroupConfig{
		ID: c.prefix + group, Brokers: c.cfg.Brokers, Topics: []string{c.prefix + topic},
		Dialer: &kafkago.Dialer{
			ClientID: c.cfg.ClientID, DialFunc: c.transport.Dial, Timeout: dialTimeout,
			TLS: c.cfg.TLS, SASLMechanism: c.cfg.SASL,
		},
		GroupBalancers:    []kafkago.GroupBalancer{balancer},
		SessionTimeout:    c.cfg.Session,
		HeartbeatInterval: c.cfg.Session / heartbeats,
		RebalanceTimeout:  rebalanceTimeout,
		JoinGroupBackoff:  joinPause,
	})
	if err != nil {
		return fmt.Errorf("join group %q: %w", c.prefix+group, err)
	}
	// Close ends the generation, waits for its hold and leaves the group.
	defer g.Close()
	for {
		gen, err := g.Next(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err == nil:
		case !Retryable(err):
			return fmt.Errorf("join group %q: %w", c.prefix+group, err)
		default:
			if joining != nil {
				joining(err)
			}
			continue
		}
		a := Assignment{Generation: int(gen.ID), Member: gen.MemberID}
		for _, p := range gen.Assignments[c.prefix+topic] {
			a.Partitions = append(a.Partitions, int32(p.ID))
		}
		slices.Sort(a.Partitions)
		balancer.hold(gen.ID, a.Partitions)
		gen.Start(func(ended context.Context) {
			held, cancel := context.WithCancel(context.WithoutCancel(ctx))
			defer cancel()
			stop := context.AfterFunc(ended, cancel)
			defer stop()
			hold(held, a)
			<-ended.Done()
		})
	}
}

// sticky shares out partitions evenly and leaves each where it is as far as that allows. A member
// tells what it holds when it joins, and since when; who leads the group computes the shares for
// all.
type sticky struct {
	topic string

	mu   sync.Mutex
	held claim
}

// claim is what a member held in its last generation. One that was silent for long claims what
// another has now, who has it from a later one.
type claim struct {
	generation int32
	partitions []byte // a bit for each
}

func (c claim) has(p int) bool {
	return p/8 < len(c.partitions) && c.partitions[p/8]&(1<<(p%8)) != 0
}

func (s *sticky) hold(generation int32, partitions []int32) {
	c := claim{generation: generation}
	for _, p := range partitions {
		for int(p)/8 >= len(c.partitions) {
			c.partitions = append(c.partitions, 0)
		}
		c.partitions[p/8] |= 1 << (p % 8)
	}
	s.mu.Lock()
	s.held = c
	s.mu.Unlock()
}

// ProtocolName keeps members apart that would not read each other's user data.
func (*sticky) ProtocolName() string { return "crumbtrail-sticky-2" }

// UserData is this member's claim: four bytes of its generation, then the partitions.
func (s *sticky) UserData() ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := binary.BigEndian.AppendUint32(nil, uint32(s.held.generation))
	return append(out, s.held.partitions...), nil
}

// claimOf reads what UserData wrote.
func claimOf(data []byte) claim {
	if len(data) < 4 {
		return claim{}
	}
	return claim{int32(binary.BigEndian.Uint32(data)), data[4:]}
}

// AssignGroups is called where this member leads the group.
func (s *sticky) AssignGroups(
	members []kafkago.GroupMember, partitions []kafkago.Partition,
) kafkago.GroupMemberAssignments {
	names := make([]string, len(members))
	claims := map[string]claim{}
	for i, m := range members {
		names[i], claims[m.ID] = m.ID, claimOf(m.UserData)
	}
	slices.Sort(names)
	numbers := make([]int, 0, len(partitions))
	for _, p := range partitions {
		if p.Topic == s.topic {
			numbers = append(numbers, p.ID)
		}
	}
	slices.Sort(numbers)
	holder := map[int]string{}
	for _, name := range names {
		for _, p := range numbers {
			before, claimed := holder[p]
			if c := claims[name]; c.has(p) && (!claimed || c.generation > claims[before].generation) {
				holder[p] = name
			}
		}
	}
	out := kafkago.GroupMemberAssignments{}
	for name, share := range shares(names, numbers, holder) {
		out[name] = map[string][]int{s.topic: share}
	}
	return out
}

// shares gives every partition to one member. No member has more than one more than another, and
// a member keeps what it holds up to its share. Members and partitions are in ascending order.
func shares(members []string, partitions []int, holder map[int]string) map[string][]int {
	out := make(map[string][]int, len(members))
	if len(members) == 0 {
		return out
	}
	least, larger := len(partitions)/len(members), len(partitions)%len(members)
	taken := map[int]bool{}
	keep := func(member string, most int) {
		for _, p := range partitions {
			if len(out[member]) < most && !taken[p] && holder[p] == member {
				out[member], taken[p] = append(out[member], p), true
			}
		}
	}
	for _, m := range members {
		keep(m, least)
	}
	for _, m := range members {
		if larger > 0 && len(out[m]) == least {
			keep(m, least+1)
			larger -= len(out[m]) - least
		}
	}
	for _, p := range partitions {
		if taken[p] {
			continue
		}
		to := members[0]
		for _, m := range members[1:] {
			if len(out[m]) < len(out[to]) {
				to = m
			}
		}
		out[to] = append(out[to], p)
	}
	for m := range out {
		slices.Sort(out[m])
	}
	return out
}
