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
