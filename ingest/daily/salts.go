package daily

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// salt is a random secret.
type salt [32]byte

// kept is how long a salt lives from the beginning of its day: until the end of the next one, so
// that a visit can go on into it.
const kept = 48 * time.Hour

// A salt's file is named by when its day begins, in UTC, and holds it in hexadecimal.
const (
	fileLayout = "20060102T150405Z"
	fileSuffix = ".salt"
	// draftSuffix is that of a file that is being written, which takes less than draftAge.
	draftSuffix = ".draft"
	draftAge    = time.Minute
)

// salts are those of the days that are not over, by when each begins, in seconds since the epoch;
// a nil one is known not to be there. Sites whose days begin together share a salt, and none of
// their names: those are of the site.
type salts struct {
	dir     string
	log     *slog.Logger
	byStart map[int64]*salt
}

// openSalts makes the directory and deletes from it what ran out while nobody was there.
func openSalts(dir string, log *slog.Logger) (salts, error) {
	s := salts{dir: dir, log: log, byStart: map[int64]*salt{}}
	if dir == "" {
		return s, nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return s, fmt.Errorf("salts: %w", err)
	}
	s.expire(time.Now())
	return s, nil
}

// of returns the salt of a day, which is drawn for its first visitor. Where it cannot be written it
// is in memory alone, and lost at the end of the process.
func (s *salts) of(start int64) *salt {
	if found := s.existing(start); found != nil {
		return found
	}
	var drawn salt
	_, _ = rand.Read(drawn[:]) // never fails, as documented
	if s.dir != "" {
		var err error
		if drawn, err = s.publish(start, drawn); err != nil {
			s.log.Error("a salt is kept in memory alone: names change at a restart", "error", err)
		}
	}
	s.byStart[start] = &drawn
	return &drawn
}

// existing returns the salt of a day, nil where it has none.
func (s *salts) existing(start int64) *salt {
	found, known := s.byStart[start]
	if known || s.dir == "" {
		return found
	}
	found, err := read(s.path(start))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.log.Error("a salt cannot be read: visits of its day are cut", "error", err)
	}
	s.byStart[start] = found
	return found
}

func (s *salts) path(start int64) string {
	return filepath.Join(s.dir, time.Unix(start, 0).UTC().Format(fileLayout)+fileSuffix)
}

func read(path string) (*salt, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	raw, err := hex.DecodeString(strings.TrimSuffix(string(text), "\n"))
	if err != nil || len(raw) != len(salt{}) {
		return nil, fmt.Errorf("%s does not hold %d bytes in hexadecimal", path, len(salt{}))
	}
	found := salt(raw)
	return &found, nil
}

// publish writes a salt, unless another collector was first: then it returns that one's. What is
// damaged is replaced.
func (s *salts) publish(start int64, drawn salt) (salt, error) {
	draft, err := os.CreateTemp(s.dir, "*"+draftSuffix)
	if err != nil {
		return drawn, err
	}
	defer func() { _ = os.Remove(draft.Name()) }() // gone where it was renamed
	_, err = draft.WriteString(hex.EncodeToString(drawn[:]) + "\n")
	if err = errors.Join(err, draft.Sync(), draft.Close()); err != nil {
		return drawn, err
	}
	path := s.path(start)
	err = os.Link(draft.Name(), path)
	if !errors.Is(err, fs.ErrExist) {
		return drawn, err
	}
	if first, err := read(path); err == nil {
		return *first, nil
	}
	return drawn, os.Rename(draft.Name(), path)
}

// expire deletes the salts that are over, from memory and from the directory.
func (s *salts) expire(now time.Time) {
	over := now.Add(-kept).Unix()
	for start := range s.byStart {
		if start <= over {
			delete(s.byStart, start)
		}
	}
	if s.dir == "" {
		return
	}
	entries, err := os.ReadDir(s.dir)
	for _, entry := range entries {
		if isOver(entry, now) {
			err = errors.Join(err, os.Remove(filepath.Join(s.dir, entry.Name())))
		}
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.log.Error("a salt that is over cannot be deleted", "error", err)
	}
}

// isOver says whether a file holds a salt that is over, or is what a process that was killed has
// left of one.
func isOver(entry fs.DirEntry, now time.Time) bool {
	if start, err := time.Parse(fileLayout+fileSuffix, entry.Name()); err == nil {
		return !start.After(now.Add(-kept))
	}
	info, err := entry.Info()
	return err == nil && filepath.Ext(entry.Name()) == draftSuffix &&
		now.Sub(info.ModTime()) > draftAge
}
