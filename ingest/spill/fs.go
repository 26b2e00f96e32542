package spill

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// FS is the one directory that a spill lies in.
type FS interface {
	// ReadDir returns the names in it.
	ReadDir() ([]string, error)
	// Open opens a file for reading.
	Open(name string) (File, error)
	// Create makes a file, which must not exist, for writing at its end.
	Create(name string) (File, error)
	Rename(from, to string) error
	Remove(name string) error
	Truncate(name string, size int64) error
	// SyncDir makes what was created, renamed and removed durable.
	SyncDir() error
	// Free returns how many bytes are left for this process.
	Free() (int64, error)
}

// File is an open file.
type File interface {
	io.Writer
	io.ReaderAt
	// Size returns how long it is now.
	Size() (int64, error)
	Sync() error
	Close() error
}

// Directory returns the file system's directory at path.
func Directory(path string) FS { return directory{path} }

// Make makes the directory at path, so that it is still there after a power cut.
func Make(path string) (FS, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("spill: %w", err)
	}
	if err := syncDirectory(filepath.Dir(path)); err != nil {
		return nil, fmt.Errorf("spill: %w", err)
	}
	return directory{path}, nil
}

type directory struct{ path string }

func (d directory) at(name string) string { return filepath.Join(d.path, name) }

func (d directory) ReadDir() ([]string, error) {
	entries, err := os.ReadDir(d.path)
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names, err
}

func (d directory) Open(name string) (File, error) { return open(d.at(name), os.O_RDONLY) }

func (d directory) Create(name string) (File, error) {
	return open(d.at(name), os.O_RDWR|os.O_CREATE|os.O_EXCL|os.O_APPEND)
}

func (d directory) Rename(from, to string) error { return os.Rename(d.at(from), d.at(to)) }

func (d directory) Remove(name string) error { return os.Remove(d.at(name)) }

func (d directory) Truncate(name string, size int64) error {
	f, err := open(d.at(name), os.O_RDWR)
	if err != nil {
		return err
	}
	return errors.Join(f.f.Truncate(size), f.Sync(), f.Close())
}

func (d directory) SyncDir() error { return syncDirectory(d.path) }

func syncDirectory(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

func (d directory) Free() (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(d.path, &st); err != nil {
		return 0, fmt.Errorf("free space of %s: %w", d.path, err)
	}
	return int64(st.Bavail) * st.Bsize, nil
}

// osFile is a file of the operating system.
type osFile struct{ f *os.File }

func open(path string, flags int) (osFile, error) {
	// Beacons and forms are of people: nobody else's business.
	f, err := os.OpenFile(path, flags, 0o600)
	return osFile{f}, err
}

func (f osFile) Write(b []byte) (int, error)            { return f.f.Write(b) }
func (f osFile) ReadAt(b []byte, at int64) (int, error) { return f.f.ReadAt(b, at) }
func (f osFile) Sync() error                            { return f.f.Sync() }
func (f osFile) Close() error                           { return f.f.Close() }

func (f osFile) Size() (int64, error) {
	info, err := f.f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// readFile returns up to most bytes of a file.
func readFile(fs FS, name string, most int64) ([]byte, error) {
	f, err := fs.Open(name)
	if err != nil {
		return nil, err
	}
	size, err := f.Size()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	b := make([]byte, min(size, most))
	n, err := f.ReadAt(b, 0)
	if errors.Is(err, io.EOF) {
		err = nil // it has become shorter
	}
	return b[:n], errors.Join(err, f.Close())
}
