package kafka

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	kafkago "github.com/segmentio/kafka-go"
)

// compactable makes a compacted topic of 40 records of three keys, each in a transaction.
func compactable(t *testing.T) *reopened {
	t.Helper()
	r := reopen(t, t.TempDir())
	configs := fourBatches()
	configs["cleanup.policy"] = "compact"
	spec := TopicSpec{Name: "in", Partitions: 1, Replication: 1, Configs: configs}
	if err := r.client.EnsureTopics(t.Context(), []TopicSpec{spec}); err != nil {
		t.Fatal(err)
	}
	for i := range 40 {
		tx, err := r.client.NewTransactional(t.Context(), fmt.Sprint(i%2))
		if err != nil {
			t.Fatal(err)
		}
		err = tx.Commit(t.Context(), Commit{
			Messages: []Message{{Topic: "in", Key: []byte{byte(i % 3)}, Value: []byte(recordOf(i))}},
			Group:    "g", Topic: "in", Offset: int64(i), Generation: -1,
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return r
}

// last returns the last value of each key, read from the first offset that the log has.
func (r *reopened) last(t *testing.T) map[string]string {
	t.Helper()
	starts, err := r.client.Starts(t.Context(), "in")
	if err != nil {
		t.Fatal(err)
	}
	ends, err := r.client.Ends(t.Context(), "in")
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]string{}
	for offset := starts[0]; offset < ends[0]; {
		f, err := r.client.Fetch(t.Context(), "in", 0, offset, FetchWait)
		if err != nil {
			t.Fatal(err)
		}
		for _, rec := range f.Records {
			values[string(rec.Key)] = string(rec.Value)
		}
		offset = f.Next
	}
	return values
}

// compacted compacts while somebody asks something of the broker.
func (r *reopened) compacted(t *testing.T) error {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		defer cancel()
		done <- r.compact(ctx)
	}()
	for ctx.Err() == nil {
		if _, err := r.client.Ends(t.Context(), "in"); err != nil {
			t.Fatal(err)
		}
	}
	return <-done
}

func TestCompactionShrinksTheLog(t *testing.T) {
	r := compactable(t)
	want := r.last(t)
	before := len(segments(t, r.dir))
	if err := r.compacted(t); err != nil {
		t.Fatal(err)
	}
	// The markers that end transactions stay, and they are half of what is there.
	if after := len(segments(t, r.dir)); after > before*2/3 {
		t.Errorf("%d segments became %d", before, after)
	}
	if diff := cmp.Diff(want, r.last(t)); diff != "" {
		t.Error(diff)
	}
	// What is compacted verifies, and outlives a crash and a stop.
	crash := reopen(t, crashed(t, r.dir))
	<-crash.keeper.verified
	dir := r.dir
	r.stop()
	stopped := reopen(t, dir)
	for name, again := range map[string]*reopened{"crash": crash, "stop": stopped} {
		if diff := cmp.Diff(want, again.last(t)); diff != "" {
			t.Errorf("after a %s: %s", name, diff)
		}
		if len(again.Damage()) > 0 {
			t.Errorf("after a %s: damage %v", name, again.Damage())
		}
	}
}

// TestInterruptedCompactionIsUndone stops the broker after it has removed a partition's segments
// and before it has written the new ones.
func TestInterruptedCompactionIsUndone(t *testing.T) {
	r := compactable(t)
	want := r.last(t)
	topics, err := r.compactedTopics()
	if err != nil {
		t.Fatal(err)
	}
	var dir string
	r.keeper.files.Lock()
	err = r.keeper.keepingOld(topics, func() {
		dir = crashed(t, r.dir)
	})
	r.keeper.files.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	for i, s := range segments(t, dir) {
		if remove(t, s, indexPath(s)); i == 0 {
			if err := os.WriteFile(s, []byte("begun"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	after := reopen(t, dir)
	if diff := cmp.Diff(want, after.last(t)); diff != "" {
		t.Error(diff)
	}
	if len(after.Damage()) > 0 {
		t.Errorf("damage %v", after.Damage())
	}
	left, err := filepath.Glob(filepath.Join(dir, "*", "*", beforeName))
	if len(left) > 0 || err != nil {
		t.Errorf("left %v %v", left, err)
	}
}

// TestCompactionWaitsForTransactions has a transaction open: a record of it that is aborted must
// not have taken the committed one's place.
func TestCompactionWaitsForTransactions(t *testing.T) {
	r := compactable(t)
	want := r.last(t)
	end := openTransaction(t, r.client, []byte{0})
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- r.compact(ctx) }()
	for ctx.Err() == nil {
		if _, err := r.client.Ends(t.Context(), "in"); err != nil {
			t.Fatal(err)
		}
	}
	if err := <-done; err == nil {
		t.Error("compacted while a transaction was open")
	}
	if err := end(r.client, false); err != nil {
		t.Fatal(err)
	}
	if err := r.compacted(t); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, r.last(t)); diff != "" {
		t.Error(diff)
	}
}

// openTransaction writes a record in a transaction, which end ends; through may be another client.
func openTransaction(
	t *testing.T, client *Client, key []byte,
) (end func(through *Client, commit bool) error) {
	t.Helper()
	tx, err := client.NewTransactional(t.Context(), "open")
	if err != nil {
		t.Fatal(err)
	}
	batches, err := client.route(t.Context(), []Message{{Topic: "in", Key: key, Value: []byte("no")}})
	if err != nil {
		t.Fatal(err)
	}
	if err := tx.addPartitions(t.Context(), batches); err != nil {
		t.Fatal(err)
	}
	if _, err := tx.sender.send(t.Context(), batches); err != nil {
		t.Fatal(err)
	}
	return func(through *Client, commit bool) error {
		res, err := through.client.EndTxn(t.Context(), &kafkago.EndTxnRequest{
			TransactionalID: tx.sender.transactional, ProducerID: int(tx.sender.id),
			ProducerEpoch: int(tx.sender.epoch), Committed: commit,
		})
		if err != nil {
			return err
		}
		return res.Error
	}
}
