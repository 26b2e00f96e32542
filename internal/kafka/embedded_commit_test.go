package kafka

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	kafkago "github.com/segmentio/kafka-go"
)

// TestOpenTransactionIsAborted stops the broker with a transaction open, and has its producer,
// which does not know, go on; then a new one commits, and the broker is stopped once more.
func TestOpenTransactionIsAborted(t *testing.T) {
	r := reopen(t, t.TempDir())
	ensure(t, r.client, 1, "in")
	writeRecords(t, r.client, 0, 0, 1)
	commitTo(t, r, "open", 1)
	end := openTransaction(t, r.client, nil)
	after := reopen(t, crashed(t, r.dir))
	if err := end(after.client, true); err == nil {
		t.Error("a commit succeeded whose transaction had been aborted")
	}
	tx, err := after.client.NewTransactional(t.Context(), "open")
	if err != nil {
		t.Fatal(err)
	}
	err = tx.Commit(t.Context(), Commit{
		Messages: []Message{{Topic: "in", Value: []byte("yes")}},
		Group:    "open", Topic: "in", Offset: 1, Generation: -1,
	})
	if err != nil {
		t.Fatal(err)
	}
	want := append(allBut(1), "yes")
	for name, r := range map[string]*reopened{
		"one stop": after, "two stops": reopen(t, crashed(t, after.dir)),
	} {
		if diff := cmp.Diff(want, readAll(t, r.client, "in", 0)); diff != "" {
			t.Errorf("after %s: %s", name, diff)
		}
	}
}

// TestAbortedStaysAborted takes the index away, in which the broker looks up what is of a
// transaction.
func TestAbortedStaysAborted(t *testing.T) {
	r := reopen(t, t.TempDir())
	ensure(t, r.client, 1, "in")
	writeRecords(t, r.client, 0, 0, 1)
	if err := openTransaction(t, r.client, nil)(r.client, false); err != nil {
		t.Fatal(err)
	}
	for name, hurt := range map[string]func(b []byte) []byte{
		"gone":   func([]byte) []byte { return nil },
		"behind": func(b []byte) []byte { return b[:len(b)-2*indexEntry] },
		"torn":   func(b []byte) []byte { return b[:len(b)-2*indexEntry+4] },
		"flips":  func(b []byte) []byte { b[indexEntry+indexFlags] ^= 1; return b },
	} {
		dir := crashed(t, r.dir)
		change(t, indexPath(segments(t, dir)[0]), hurt)
		after := reopen(t, dir)
		if diff := cmp.Diff(allBut(1), readAll(t, after.client, "in", 0)); diff != "" {
			t.Errorf("index %s: %s", name, diff)
		}
	}
}

// TestOpenOffsetsAreNotCommitted stops the broker when a transaction has staged offsets and nothing
// else.
func TestOpenOffsetsAreNotCommitted(t *testing.T) {
	r := reopen(t, t.TempDir())
	ensure(t, r.client, 1, "in")
	writeRecords(t, r.client, 0, 0, 3)
	tx, err := r.client.NewTransactional(t.Context(), "open")
	if err != nil {
		t.Fatal(err)
	}
	commit := Commit{Group: "open", Topic: "in", Offset: 1, Generation: -1}
	if err := tx.Commit(t.Context(), commit); err != nil {
		t.Fatal(err)
	}
	commit.Offset = 2
	if err := tx.addOffset(t.Context(), commit); err != nil {
		t.Fatal(err)
	}
	after := reopen(t, crashed(t, r.dir))
	res, err := after.client.client.EndTxn(t.Context(), &kafkago.EndTxnRequest{
		TransactionalID: tx.sender.transactional, ProducerID: int(tx.sender.id),
		ProducerEpoch: int(tx.sender.epoch), Committed: true,
	})
	if err == nil && res.Error == nil && committed(t, after, "open") != 2 {
		t.Error("a commit succeeded, and its offsets are not there")
	}
}

// TestHalfCommitIsTakenBack stops the broker between the steps of a commit.
func TestHalfCommitIsTakenBack(t *testing.T) {
	r := reopen(t, t.TempDir())
	ensure(t, r.client, 1, "in", "out", "log")
	commit := func(r *reopened, value string, offset int64) {
		t.Helper()
		tx, err := r.client.NewTransactional(t.Context(), "stage")
		if err != nil {
			t.Fatal(err)
		}
		err = tx.Commit(t.Context(), Commit{
			Messages: []Message{
				{Topic: "out", Value: []byte(value)}, {Topic: "log", Value: []byte(value)},
			},
			Group: "stage", Topic: "in", Offset: offset, Generation: -1,
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	seen := func(r *reopened) (all []string, offset int64) {
		t.Helper()
		for _, topic := range []string{"out", "log"} {
			all = append(all, readAll(t, r.client, topic, 0)...)
		}
		return all, committed(t, r, "stage")
	}
	writeRecords(t, r.client, 0, 0, 5)
	commit(r, "first", 1)
	commit(r, "second", 2)
	dir := r.dir
	note, err := os.ReadFile(filepath.Join(dir, endingName))
	if err != nil {
		t.Fatal(err)
	}
	// What was answered stays.
	whole := reopen(t, crashed(t, dir))
	all, offset := seen(whole)
	diff := cmp.Diff([]string{"first", "second", "first", "second"}, all)
	if diff != "" || offset != 2 {
		t.Errorf("a commit that was answered: offset %d, %s", offset, diff)
	}
	e, ok, err := (&scrub{dir: t.TempDir()}).unfinished(note)
	if err != nil || ok || e.Version != endingVersion {
		t.Fatalf("the note is %+v: %t %v", e, ok, err)
	}
	cutMarker := func(t *testing.T, dir, topic string) {
		segment := filepath.Join(dir, "partitions", "t."+topic+"-0", "0.dat")
		all := frames(t, segment)
		change(t, segment, func(b []byte) []byte { return b[:all[len(all)-1].at] })
		change(t, indexPath(segment), func(b []byte) []byte { return b[:len(b)-indexEntry] })
	}
	cutLog := func(t *testing.T, dir, name string, size int64) {
		change(t, filepath.Join(dir, name), func(b []byte) []byte { return b[:size] })
	}
	for _, c := range []struct {
		name string
		stop func(t *testing.T, dir string)
	}{
		{"before the entry of the producer", func(t *testing.T, dir string) {}},
		{"in the entry of the producer", func(t *testing.T, dir string) {
			change(t, filepath.Join(dir, "pids.log"), func(b []byte) []byte { return append(b, 1, 2, 3) })
		}},
		{"before the offsets", func(t *testing.T, dir string) {
			cutLog(t, dir, "groups.log", e.Groups.Size)
		}},
		{"after one marker", func(t *testing.T, dir string) {
			cutLog(t, dir, "groups.log", e.Groups.Size)
			cutMarker(t, dir, "log")
		}},
		{"before the markers", func(t *testing.T, dir string) {
			cutLog(t, dir, "groups.log", e.Groups.Size)
			cutMarker(t, dir, "log")
			cutMarker(t, dir, "out")
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			half := crashed(t, dir)
			cutLog(t, half, "pids.log", e.Producers.Size)
			c.stop(t, half)
			after := reopen(t, half)
			all, offset := seen(after)
			if diff := cmp.Diff([]string{"first", "first"}, all); diff != "" || offset != 1 {
				t.Errorf("offset %d, %s", offset, diff)
			}
			if len(after.Damage()) > 0 {
				t.Errorf("damage %v", after.Damage())
			}
			commit(after, "again", 2)
			for _, r := range []*reopened{after, reopen(t, crashed(t, half))} {
				all, offset = seen(r)
				if diff := cmp.Diff([]string{"first", "again", "first", "again"}, all); diff != "" ||
					offset != 2 {
					t.Errorf("after another: offset %d, %s", offset, diff)
				}
			}
		})
	}
}
