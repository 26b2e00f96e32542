package spill

import (
	"errors"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"slices"
	"syscall"
)

// powerCut is what an operation panics with at which the power goes.
type powerCut struct{}

// memory is a directory that keeps apart what has been synced and what has not. Each operation
// counts, and the power may go at one, or one may fail.
type memory struct {
	names   map[string]*inode // as the process sees them
	durable map[string]*inode // as of the last SyncDir
	changes []change          // since then, in order
	random  *rand.Rand
	free    int64

	operations    int
	cutAt, failAt int // 0: never
	failed        string
}

// change is one of the directory's; remove or to is empty.
type change struct {
	remove, to string
	inode      *inode
}

// inode is a file, which only grows, but for Truncate.
type inode struct {
	data, synced []byte
	// clean is true after a failed fsync: what is dirty is given up, and a second fsync says that all
	// is well.
	clean bool
}

func newMemory(seed uint64) *memory {
	return &memory{
		names: map[string]*inode{}, durable: map[string]*inode{}, free: 1 << 40,
		random: rand.New(rand.NewPCG(seed, 0)),
	}
}

// step counts an operation; part is true where the power goes and the operation still happens.
func (m *memory) step(operation string, failure error) (part bool, err error) {
	m.operations++
	switch m.operations {
	case m.cutAt:
		if m.random.IntN(2) == 0 {
			panic(powerCut{})
		}
		return true, nil
	case m.failAt:
		m.failed = operation
		return false, &fs.PathError{Op: operation, Path: "memory", Err: failure}
	}
	return false, nil
}

func (m *memory) end(part bool) {
	if part {
		panic(powerCut{})
	}
}

func (m *memory) ReadDir() ([]string, error) { return slices.Sorted(maps.Keys(m.names)), nil }

func (m *memory) Free() (int64, error) { return m.free, nil }

func (m *memory) Open(name string) (File, error) {
	if i := m.names[name]; i != nil {
		return &opened{m, i}, nil
	}
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
}

func (m *memory) Create(name string) (File, error) {
	if m.names[name] != nil {
		return nil, &fs.PathError{Op: "create", Path: name, Err: fs.ErrExist}
	}
	part, err := m.step("create", syscall.ENOSPC)
	if err != nil {
		return nil, err
	}
	i := &inode{}
	m.names[name] = i
	m.changes = append(m.changes, change{to: name, inode: i})
	m.end(part)
	return &opened{m, i}, nil
}

func (m *memory) Rename(from, to string) error {
	i := m.names[from]
	if i == nil {
		return &fs.PathError{Op: "rename", Path: from, Err: fs.ErrNotExist}
	}
	part, err := m.step("rename", syscall.EIO)
	if err != nil {
		return err
	}
	delete(m.names, from)
	m.names[to] = i
	m.changes = append(m.changes, change{remove: from, to: to, inode: i})
	m.end(part)
	return nil
}

func (m *memory) Remove(name string) error {
	if m.names[name] == nil {
		return &fs.PathError{Op: "remove", Path: name, Err: fs.ErrNotExist}
	}
	part, err := m.step("remove", syscall.EIO)
	if err != nil {
		return err
	}
	delete(m.names, name)
	m.changes = append(m.changes, change{remove: name})
	m.end(part)
	return nil
}

func (m *memory) Truncate(name string, size int64) error {
	i := m.names[name]
	if i == nil || int64(len(i.data)) < size {
		return &fs.PathError{Op: "truncate", Path: name, Err: fs.ErrInvalid}
	}
	part, err := m.step("truncate", syscall.EIO)
	if err != nil {
		return err
	}
	i.data = i.data[:size]
	i.synced = i.synced[:min(len(i.synced), int(size))]
	m.end(part)
	return nil
}

func (m *memory) SyncDir() error {
	part, err := m.step("sync directory", syscall.EIO)
	if err != nil {
		return err
	}
	m.durable, m.changes = maps.Clone(m.names), nil
	m.end(part)
	return nil
}

// opened is an open file of a memory.
type opened struct {
	m *memory
	i *inode
}

func (f *opened) Write(b []byte) (int, error) {
	part, err := f.m.step("write", syscall.ENOSPC)
	if err != nil {
		n := f.m.random.IntN(len(b))
		f.i.data = append(f.i.data, b[:n]...)
		return n, err
	}
	f.i.data = append(f.i.data, b...)
	f.m.end(part)
	return len(b), nil
}

func (f *opened) Sync() error {
	part, err := f.m.step("sync", syscall.EIO)
	if err != nil {
		f.i.clean = true
		return err
	}
	if !f.i.clean {
		f.i.synced = slices.Clone(f.i.data)
	}
	f.m.end(part)
	return nil
}

func (f *opened) ReadAt(b []byte, at int64) (int, error) {
	part, err := f.m.step("read", syscall.EIO)
	if err != nil {
		return 0, err
	}
	f.m.end(part)
	if at >= int64(len(f.i.data)) {
		return 0, io.EOF
	}
	n := copy(b, f.i.data[at:])
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

func (f *opened) Size() (int64, error) { return int64(len(f.i.data)), nil }

func (f *opened) Close() error { return nil }

// afterCut is what a power cut leaves: all that was synced, and some of the rest.
func (m *memory) afterCut() *memory {
	names := maps.Clone(m.durable)
	for _, c := range m.changes {
		if m.random.IntN(2) == 0 {
			continue
		}
		if c.remove != "" {
			delete(names, c.remove)
		}
		if c.to != "" {
			names[c.to] = c.inode
		}
	}
	after := &memory{names: map[string]*inode{}, random: m.random, free: m.free}
	for name, i := range names {
		data := m.left(i)
		after.names[name] = &inode{data: data, synced: slices.Clone(data)}
	}
	after.durable = maps.Clone(after.names)
	return after
}

// left is what is left of a file: of what was not synced a part, or zeros or anything in its place.
func (m *memory) left(i *inode) []byte {
	data := slices.Clone(i.synced)
	if len(i.data) <= len(i.synced) {
		return data
	}
	rest := slices.Clone(i.data[len(i.synced):])
	keep := m.random.IntN(len(rest) + 1)
	switch m.random.IntN(4) {
	case 0:
		return append(data, rest...)
	case 1:
		return append(data, rest[:keep]...)
	case 2:
		clear(rest[keep:])
	default:
		for at := keep; at < len(rest); at++ {
			rest[at] = byte(m.random.Uint32())
		}
	}
	return append(data, rest...)
}

// damage changes bytes of a file.
func (m *memory) damage(name string, change func([]byte) []byte) error {
	i := m.names[name]
	if i == nil {
		return errors.New("no such file")
	}
	i.data = change(i.data)
	i.synced = slices.Clone(i.data)
	return nil
}
