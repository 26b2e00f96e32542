package kafka

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestCloseAmidCommits closes the broker again and again while producers commit to all partitions:
// a commit is whole or not there, and one that was answered is there.
func TestCloseAmidCommits(t *testing.T) {
	const rounds, producers, commits = 6, 4, 40
	dir := t.TempDir()
	answered := map[string]bool{}
	for round := range rounds {
		r := reopen(t, dir)
		ensure(t, r.client, producers, "in", "out")
		if round == 0 {
			writeRecords(t, r.client, 0, 0, 1)
		}
		var all sync.WaitGroup
		var done atomic.Int64
		var mu sync.Mutex
		enough := make(chan struct{})
		for p := range producers {
			all.Go(func() {
				tx, err := r.client.NewTransactional(t.Context(), fmt.Sprint("stage-", p))
				for n := 0; err == nil; n++ {
					value := fmt.Sprintf("%d %d %d", round, p, n)
					if err = tx.Commit(t.Context(), toAll(value, producers)); err == nil {
						mu.Lock()
						answered[value] = true
						mu.Unlock()
						if done.Add(1) == commits {
							close(enough)
						}
					}
				}
			})
		}
		<-enough
		r.Broker.Close()
		r.client.Close()
		r.Broker = nil
		all.Wait()
	}
	r := reopen(t, dir)
	first := readAll(t, r.client, "out", 0)
	slices.Sort(first)
	for p := range int32(producers) {
		values := readAll(t, r.client, "out", p)
		slices.Sort(values)
		if diff := cmp.Diff(first, values); diff != "" {
			t.Errorf("partition %d has other commits than partition 0: %s", p, diff)
		}
	}
	for value := range answered {
		if _, there := slices.BinarySearch(first, value); !there {
			t.Errorf("commit %q was answered and is not there", value)
		}
	}
}

// toAll is a commit with a record for each partition.
func toAll(value string, partitions int) Commit {
	c := Commit{Group: "stage", Topic: "in", Offset: 1, Generation: -1}
	for p := range int32(partitions) {
		c.Messages = append(c.Messages, Message{Topic: "out", Partition: p, Value: []byte(value)})
	}
	return c
}

// TestHalfCommitAtAClose takes a commit back after a stop that was a Close, with a transaction of
// another producer open: what that one commits later is seen.
func TestHalfCommitAtAClose(t *testing.T) {
	dir := t.TempDir()
	r := reopen(t, dir)
	ensure(t, r.client, 1, "in")
	writeRecords(t, r.client, 0, 0, 1)
	openTransaction(t, r.client, nil)
	tx, err := r.client.NewTransactional(t.Context(), "half")
	if err != nil {
		t.Fatal(err)
	}
	half := Commit{
		Messages: []Message{{Topic: "in", Value: []byte("half")}},
		Group:    "half", Topic: "in", Offset: 1, Generation: -1,
	}
	if err := tx.Commit(t.Context(), half); err != nil {
		t.Fatal(err)
	}
	r.stop()

	batches := frames(t, segments(t, dir)[0])
	e := ending{
		Version: endingVersion, ProducerID: tx.sender.id, Epoch: tx.sender.epoch,
		Ends: map[string][]int64{"t.in": {batches[len(batches)-1].base}},
	}
	if e.Producers, err = endOfLog(filepath.Join(dir, "pids.log"), -1); err != nil {
		t.Fatal(err)
	}
	note, err := os.OpenFile(filepath.Join(dir, endingName), os.O_WRONLY|os.O_CREATE, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	if err := (&commitNotes{file: note}).write(e); err != nil {
		t.Fatal(err)
	}
	note.Close()

	after := reopen(t, dir)
	for _, id := range []string{"half", "open"} {
		tx, err := after.client.NewTransactional(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		half.Messages[0].Value, half.Group = []byte(id+" later"), id
		if err := tx.Commit(t.Context(), half); err != nil {
			t.Fatal(err)
		}
	}
	want := append(allBut(1), "half later", "open later")
	if diff := cmp.Diff(want, readAll(t, after.client, "in", 0)); diff != "" {
		t.Error(diff)
	}
}
