package kafka

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	kafkago "github.com/segmentio/kafka-go"
	"pgregory.net/rapid"
)

// Every partition has one member, shares differ by one at most, and no more partitions move than
// an even share asks for.
func TestShares(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		partitions := make([]int, rapid.IntRange(0, 24).Draw(t, "partitions"))
		for i := range partitions {
			partitions[i] = i
		}
		members := make([]string, rapid.IntRange(1, 6).Draw(t, "members"))
		for i := range members {
			members[i] = fmt.Sprintf("m%d", i)
		}
		// Each partition was held by one member, by one that is gone, or by nobody.
		holder, held := map[int]string{}, map[string]int{}
		for _, p := range partitions {
			if i := rapid.IntRange(-1, len(members)-1).Draw(t, "holder"); i >= 0 {
				holder[p] = members[i]
				held[members[i]]++
			}
		}
		got := shares(members, partitions, holder)

		var all []int
		least, most := len(partitions), 0
		for _, m := range members {
			all = append(all, got[m]...)
			least, most = min(least, len(got[m])), max(most, len(got[m]))
		}
		slices.Sort(all)
		if !slices.Equal(all, partitions) {
			t.Fatalf("dealt out %v of %v", all, partitions)
		}
		if most-least > 1 {
			t.Errorf("shares of %d to %d partitions", least, most)
		}
		for _, m := range members {
			kept := 0
			for _, p := range got[m] {
				if holder[p] == m {
					kept++
				}
			}
			if want := min(held[m], len(partitions)/len(members)); kept < want {
				t.Errorf("%s keeps %d of the %d that it holds, want %d", m, kept, held[m], want)
			}
		}
	})
}

// A member that was silent for long does not get back what another one has by now.
func TestOldClaimsAreNotKept(t *testing.T) {
	var members []kafkago.GroupMember
	for name, generation := range map[string]int32{"a": 3, "b": 7, "c": 0} {
		s := &sticky{topic: "in"}
		if generation > 0 {
			s.hold(generation, []int32{9})
		}
		data, err := s.UserData()
		if err != nil {
			t.Fatal(err)
		}
		members = append(members, kafkago.GroupMember{ID: name, UserData: data})
	}
	got := (&sticky{topic: "in"}).AssignGroups(members, []kafkago.Partition{{Topic: "in", ID: 9}})
	if !slices.Equal(got["b"]["in"], []int{9}) {
		t.Errorf("%v: want the partition to stay where it is", got)
	}
}

// member is one member of the group in TestShareHandsOver.
type member struct {
	stop   func()
	gained chan Assignment
	done   chan error
}

func join(t *testing.T, client *Client) *member {
	ctx, cancel := context.WithCancel(t.Context())
	m := &member{stop: cancel, gained: make(chan Assignment), done: make(chan error, 1)}
	go func() {
		m.done <- client.Share(ctx, "group", "in", func(held context.Context, a Assignment) {
			select {
			case m.gained <- a:
			case <-ctx.Done():
			}
			<-held.Done()
		}, nil)
	}()
	return m
}

// until waits for a generation in which the member has so many partitions.
func (m *member) until(t *testing.T, partitions int) Assignment {
	t.Helper()
	deadline := time.After(time.Minute)
	for {
		select {
		case a := <-m.gained:
			if len(a.Partitions) == partitions {
				return a
			}
		case err := <-m.done:
			t.Errorf("left the group: %v", err)
			return Assignment{}
		case <-deadline:
			t.Errorf("no generation with %d partitions", partitions)
			return Assignment{}
		}
	}
}

func TestShareHandsOver(t *testing.T) {
	_, client := embedded(t, t.TempDir())
	ensure(t, client, 4, "in")
	a := join(t, client)
	if got := a.until(t, 4).Partitions; !slices.Equal(got, []int32{0, 1, 2, 3}) {
		t.Errorf("alone: %v", got)
	}
	b := join(t, client)
	kept := make(chan Assignment, 1)
	go func() { kept <- a.until(t, 2) }()
	gained := b.until(t, 2)
	both := append((<-kept).Partitions, gained.Partitions...)
	slices.Sort(both)
	if !slices.Equal(both, []int32{0, 1, 2, 3}) {
		t.Errorf("together: %v", both)
	}
	a.stop()
	if err := <-a.done; err != nil {
		t.Errorf("stop: %v", err)
	}
	after := b.until(t, 4)
	if after.Generation <= gained.Generation {
		t.Errorf("generation %d after %d", after.Generation, gained.Generation)
	}
	b.stop()
	if err := <-b.done; err != nil {
		t.Errorf("stop: %v", err)
	}
}
