package datadir

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestOneHolder(t *testing.T) {
	dir := t.TempDir()
	if _, held := HolderOf(dir); held {
		t.Fatal("a directory that nobody opened is held")
	}
	lock, err := Acquire(dir)
	if err != nil {
		t.Fatal(err)
	}
	want := Holder{PID: 42, Brokers: []string{"127.0.0.1:1"}, Command: "up"}
	if err := lock.Publish(want); err != nil {
		t.Fatal(err)
	}
	_, err = Acquire(dir)
	var held *HeldError
	if !errors.As(err, &held) {
		t.Fatalf("a second Acquire gave %v", err)
	}
	if diff := cmp.Diff(want, held.Holder); diff != "" {
		t.Error(diff)
	}
	if got, ok := HolderOf(dir); !ok || !cmp.Equal(got, want) {
		t.Errorf("HolderOf = %v %v", got, ok)
	}
	if err := lock.Release(); err != nil {
		t.Fatal(err)
	}
	if _, held := HolderOf(dir); held {
		t.Error("still held after Release")
	}
	if lock, err = Acquire(dir); err != nil {
		t.Fatal(err)
	}
	lock.Release()
}

// Who joins shares the directory with others that do, and with nobody else.
func TestJoin(t *testing.T) {
	dir := t.TempDir()
	a, err := Join(dir)
	if err != nil {
		t.Fatal(err)
	}
	b, err := Join(dir)
	if err != nil {
		t.Fatal(err)
	}
	want := Holder{PID: 2, Brokers: []string{"127.0.0.1:1"}, Command: "lake"}
	for _, err := range []error{
		a.Publish(Holder{PID: 1, Brokers: []string{"a-long-name.example:9092"}, Command: "lake"}),
		b.Publish(want), a.Release(),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	var held *HeldError
	if _, err := Acquire(dir); !errors.As(err, &held) || !cmp.Equal(held.Holder, want) {
		t.Errorf("Acquire beside one that has joined: %v", err)
	}
	if got, ok := HolderOf(dir); !ok || !cmp.Equal(got, want) {
		t.Errorf("HolderOf = %v %v", got, ok)
	}
	if err := b.Release(); err != nil {
		t.Fatal(err)
	}
	if got, ok := HolderOf(dir); ok {
		t.Errorf("HolderOf = %v after the last one has gone", got)
	}
	lock, err := Acquire(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Join(dir); !errors.As(err, &held) {
		t.Errorf("Join beside one that has acquired: %v", err)
	}
	if err := lock.Release(); err != nil {
		t.Fatal(err)
	}
}
