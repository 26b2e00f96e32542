package simnet

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"testing"
	"testing/cryptotest"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"crumbtrail/internal/kafka"
)

// bubble runs a test on a network of its own, whose plan is for the client "a" alone. It runs in a
// synctest bubble.
func bubble(t *testing.T, plan func(Request) Fault, test func(*testing.T, *Network)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		cryptotest.SetGlobalRandom(t, 1)
		n, err := New(Config{Seed: 1, Plan: func(r Request) Fault {
			if r.Client == "a" && plan != nil {
				return plan(r)
			}
			return Fault{}
		}})
		if err != nil {
			t.Fatal(err)
		}
		defer n.Close()
		client := dial(t, n, "setup")
		err = client.EnsureTopics(t.Context(), []kafka.TopicSpec{
			{Name: "in", Partitions: 4, Replication: 1}, {Name: "out", Partitions: 1, Replication: 1},
		})
		if err != nil {
			t.Fatal(err)
		}
		test(t, n)
	})
}

func dial(t *testing.T, n *Network, name string) *kafka.Client {
	t.Helper()
	client, err := kafka.Dial(kafka.Config{
		Brokers: []string{Addr}, ClientID: name, Dial: n.Dial(name),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

// once is a plan with one fault, at the n-th request of a key.
func once(key int16, n int, f Fault) func(Request) Fault {
	return func(r Request) Fault {
		if r.Key == key && r.N == n {
			return f
		}
		return Fault{}
	}
}

// commit writes one record to out, and how far in was read.
func commit(t *testing.T, client *kafka.Client, offset int64) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	tx, err := client.NewTransactional(ctx, "stage-0")
	if err != nil {
		return err
	}
	return tx.Commit(ctx, kafka.Commit{
		Messages: []kafka.Message{{Topic: "out", Partition: 0, Value: []byte("x")}},
		Group:    "stage", Topic: "in", Partition: 0, Offset: offset, Generation: -1,
	})
}

// outcome is what is in the log, to a client that no fault hits.
func outcome(t *testing.T, n *Network) (records int, offset int64) {
	t.Helper()
	client := dial(t, n, "outcome")
	if _, err := client.NewTransactional(t.Context(), "stage-0"); err != nil { // settles what is open
		t.Fatal(err)
	}
	offset, _, err := client.Committed(t.Context(), "stage", "in", 0)
	if err != nil {
		t.Fatal(err)
	}
	batch, err := client.Fetch(t.Context(), "out", 0, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	return len(batch.Records), offset
}

// TestFaults hits one request of a commit, and looks at what the client heard and what is so.
func TestFaults(t *testing.T) {
	const refused = 51 // CONCURRENT_TRANSACTIONS
	for _, c := range []struct {
		key            int16
		fault          Fault
		heard, durable bool
	}{
		{EndTxn, Fault{Kind: DropRequest}, false, false},
		{EndTxn, Fault{Kind: DropAnswer}, false, true},
		{EndTxn, Fault{Kind: HoldRequest, For: 2 * time.Second}, true, true},
		{EndTxn, Fault{Kind: HoldAnswer, For: 2 * time.Second}, true, true},
		{EndTxn, Fault{Kind: HoldAnswer, For: time.Minute}, false, true},
		{EndTxn, Fault{Kind: Repeat}, true, true},
		{EndTxn, Fault{Kind: Settle, For: time.Second}, true, true},
		{EndTxn, Fault{Kind: SettleUnheard, For: time.Second}, false, true},
		{EndTxn, Fault{Kind: Stall, For: 3 * time.Second}, true, true},
		{EndTxn, Fault{Kind: KillBefore}, false, false},
		{EndTxn, Fault{Kind: KillAfter}, false, true},
		{Produce, Fault{Kind: Repeat}, true, true},
		{Produce, Fault{Kind: DropAnswer}, false, false},
		{InitProducerID, Fault{Kind: Resend, For: time.Minute}, true, true},
		{InitProducerID, Fault{Kind: DropAnswer}, true, true},
		{AddPartitionsToTxn, Fault{Kind: Refuse, Code: refused}, true, true},
	} {
		t.Run(fmt.Sprintf("%d %v", c.key, c.fault), func(t *testing.T) {
			bubble(t, once(c.key, 1, c.fault), func(t *testing.T, n *Network) {
				began := time.Now()
				err := commit(t, dial(t, n, "a"), 7)
				if (err == nil) != c.heard {
					t.Errorf("the client heard %v", err)
				}
				if took := time.Since(began); c.heard && c.fault.Kind != Resend && c.fault.Kind != Settle &&
					took < c.fault.For {
					t.Errorf("it took %v", took)
				}
				records, offset := outcome(t, n)
				if want := c.durable; (records == 1) != want || (offset == 7) != want {
					t.Errorf("%d records and offset %d", records, offset)
				}
				if diff := cmp.Diff(map[Kind]int{c.fault.Kind: 1}, n.Fired()); diff != "" {
					t.Error(diff)
				}
			})
		})
	}
}

// TestSettle holds that a transaction that has ended may look as if it had not.
func TestSettle(t *testing.T) {
	const settling = 2 * time.Second
	plan := once(EndTxn, 2, Fault{Kind: Settle, For: settling})
	bubble(t, plan, func(t *testing.T, n *Network) {
		client := dial(t, n, "a")
		if err := errors.Join(commit(t, client, 3), commit(t, client, 7)); err != nil {
			t.Fatal(err)
		}
		ended := time.Now()
		if offset, _, err := client.Committed(t.Context(), "stage", "in", 0); offset != 3 || err != nil {
			t.Errorf("offset %d while the transaction settles, %v", offset, err)
		}
		if _, offset := outcome(t, n); offset != 7 {
			t.Errorf("offset %d once it has settled", offset)
		}
		if took := time.Since(ended); took < settling-latency {
			t.Errorf("the next producer waited for %v", took)
		}
	})
}

// TestKilled holds that nothing gets out of a client that has been killed, and that it is told.
func TestKilled(t *testing.T) {
	bubble(t, nil, func(t *testing.T, n *Network) {
		died := make(chan struct{})
		n.OnKill("a", func() { close(died) })
		client := dial(t, n, "a")
		if err := commit(t, client, 7); err != nil {
			t.Fatal(err)
		}
		n.Kill("a")
		<-died
		if err := commit(t, client, 8); err == nil || !n.Killed("a") {
			t.Errorf("a killed client has committed: %v", err)
		}
	})
}

// TestCalm holds that no fault happens any more once that was asked for.
func TestCalm(t *testing.T) {
	plan := func(Request) Fault { return Fault{Kind: DropRequest} }
	bubble(t, plan, func(t *testing.T, n *Network) {
		n.Stall("a", time.Hour)
		n.Calm()
		if err := commit(t, dial(t, n, "a"), 7); err != nil || len(n.Fired()) != 0 {
			t.Errorf("%v, faults %v", err, n.Fired())
		}
	})
}

// share lets three members share a topic's partitions, kills the first, and returns who held which
// in the last generation, and the trace. It runs in a bubble.
func share(t *testing.T) (held map[string][]int32, sum uint64) {
	bubble(t, nil, func(t *testing.T, n *Network) {
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		var mu sync.Mutex
		now := map[string][]int32{}
		for _, name := range []string{"a", "b", "c"} {
			client := dial(t, n, name)
			running.Go(func() {
				err := client.Share(ctx, "group", "in", func(ctx context.Context, a kafka.Assignment) {
					mu.Lock()
					now[name] = a.Partitions
					mu.Unlock()
					<-ctx.Done()
					mu.Lock()
					delete(now, name)
					mu.Unlock()
				}, nil)
				if err != nil && !n.Killed(name) {
					t.Errorf("%s: %v", name, err)
				}
			})
		}
		time.Sleep(20 * time.Second)
		n.Kill("a")
		time.Sleep(20 * time.Second)
		mu.Lock()
		held = maps.Clone(now)
		mu.Unlock()
		_, sum = n.Trace()
		cancel()
		running.Wait()
	})
	return held, sum
}

// TestSame holds that all messages come at the same instants each time, though the broker draws a
// new leader for those who are left.
func TestSame(t *testing.T) {
	held, sum := share(t)
	if len(held["b"]) != 2 || len(held["c"]) != 2 || len(held["a"]) != 0 {
		t.Fatalf("b and c are left, and hold %v", held)
	}
	for range 5 {
		if again, other := share(t); other != sum || !cmp.Equal(again, held) {
			t.Fatalf("traces %x and %x, held %v and %v", sum, other, held, again)
		}
	}
}
