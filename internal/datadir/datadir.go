// Package datadir guards a data directory: one process at a time runs stages on it, or several
// that share the work, and leaves word there of how to reach it. It reads and writes only the file
// LOCK in the directory, and guarantees that the lock is free again once its holder has died,
// however it died.
package datadir

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// Holder is what the process that runs on a directory says of itself.
type Holder struct {
	PID int `json:"pid"`
	// Brokers are the addresses of its Kafka cluster, embedded or not; none where it has no lake.
	Brokers []string `json:"brokers"`
	// Embedded is true where the cluster is a broker on loopback, without TLS or a sign-in.
	Embedded bool `json:"embedded"`
	// Command is what it was started as, for people.
	Command string `json:"command"`
}

// Lock is a held data directory.
type Lock struct {
	file   *os.File
	dir    string
	shared bool
}

// HeldError says that somebody else runs stages on the directory.
type HeldError struct {
	Dir    string
	Holder Holder
}

// Error says who, and what to do.
func (e *HeldError) Error() string {
	return fmt.Sprintf("data directory %q is in use by `crumbtrail %s` (pid %d): stop it first, or "+
		"choose another directory with --data", e.Dir, e.Holder.Command, e.Holder.PID)
}

const lockName = "LOCK"

// Acquire makes the directory if it is missing and takes its lock, or returns a *HeldError.
func Acquire(dir string) (*Lock, error) { return take(dir, unix.LOCK_EX) }

// Join is Acquire for a process that runs on the directory together with others that join.
func Join(dir string) (*Lock, error) { return take(dir, unix.LOCK_SH) }

func take(dir string, how int) (*Lock, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, lockName), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), how|unix.LOCK_NB); err != nil {
		defer f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, &HeldError{Dir: dir, Holder: readHolder(f)}
		}
		return nil, fmt.Errorf("lock data directory %q: %w", dir, err)
	}
	return &Lock{file: f, dir: dir, shared: how == unix.LOCK_SH}, nil
}

// holderSize is what word of a holder is filled up to with spaces, so that two that leave theirs at
// the same time leave one of the two.
const holderSize = 1 << 10

// Publish leaves word of the holder for other commands; of several, the last one's.
func (l *Lock) Publish(h Holder) error {
	text, err := json.Marshal(h)
	if err != nil {
		return fmt.Errorf("publish the holder of %q: %w", l.dir, err)
	}
	text = append(text, bytes.Repeat([]byte{' '}, max(0, holderSize-1-len(text)))...)
	text = append(text, '\n')
	if err := errors.Join(writeAt(l.file, text), l.file.Truncate(int64(len(text)))); err != nil {
		return fmt.Errorf("publish the holder of %q: %w", l.dir, err)
	}
	return nil
}

func writeAt(f *os.File, b []byte) error {
	_, err := f.WriteAt(b, 0)
	return err
}

// Release gives the directory back. Whoever is the last one leaves no word of itself.
func (l *Lock) Release() error {
	if l.shared && unix.Flock(int(l.file.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil {
		return l.file.Close() // others go on
	}
	return errors.Join(l.file.Truncate(0), l.file.Close())
}

// HolderOf returns who runs stages on the directory; held is false where nobody does. It makes
// nothing and holds the lock for no longer than it looks.
func HolderOf(dir string) (h Holder, held bool) {
	f, err := os.Open(filepath.Join(dir, lockName))
	if err != nil {
		return Holder{}, false
	}
	defer f.Close()
	for _, how := range []int{unix.LOCK_SH, unix.LOCK_EX} { // held by one, then by any
		if errors.Is(unix.Flock(int(f.Fd()), how|unix.LOCK_NB), unix.EWOULDBLOCK) {
			return readHolder(f), true
		}
	}
	return Holder{}, false
}

func readHolder(f *os.File) (h Holder) {
	text, err := io.ReadAll(io.NewSectionReader(f, 0, 1<<16))
	if err == nil && json.Unmarshal(text, &h) == nil {
		return h
	}
	return Holder{Command: "?"}
}
