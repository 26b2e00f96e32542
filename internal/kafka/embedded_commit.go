package kafka

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// The broker commits a transaction in steps: a marker in each partition, the offsets in groups.log,
// and an entry in pids.log, after which it answers. A stop in between leaves half a transaction:
// outputs without the offsets, or some of the outputs. So before the first step the ends of
// everything are noted, and a start that finds no entry in pids.log takes back what came after. The
// transaction is then one that a stop has left open, which the broker aborts; nobody was told that
// it had been committed, and nobody can have read it.

const endingName = "ending.json"

const endingVersion = 1

// ending is a commit that has begun, and where everything ended before it.
type ending struct {
	Version    int                `json:"version"`
	ProducerID int64              `json:"producer_id"`
	Epoch      int16              `json:"epoch"`
	Producers  logEnd             `json:"producers"`
	Groups     logEnd             `json:"groups"`
	Ends       map[string][]int64 `json:"ends"` // by topic, for each partition
}

// logEnd is the size of a state log, and the checksum of what stands at its end: the broker
// rewrites the logs now and then.
type logEnd struct {
	Size int64  `json:"size"`
	Sum  uint32 `json:"sum"`
}

const logEndBytes = 64

func endOfLog(path string, size int64) (logEnd, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return logEnd{}, nil
	}
	if err != nil {
		return logEnd{}, err
	}
	defer f.Close()
	if size < 0 {
		info, err := f.Stat()
		if err != nil {
			return logEnd{}, err
		}
		size = info.Size()
	}
	b := make([]byte, min(size, logEndBytes))
	n, err := f.ReadAt(b, size-int64(len(b)))
	if err != nil && !errors.Is(err, io.EOF) {
		return logEnd{}, err
	}
	return logEnd{size, crc32.Checksum(b[:n], castagnoli())}, nil
}

// commitNotes notes commits before the broker begins with them.
type commitNotes struct {
	broker *Broker
	file   *os.File
	sync   bool
	topics []topicAtRest
	listed time.Time // when the list of topics was changed

	mu      sync.Mutex
	closing bool
	last    logEnd // of the producers, before the last commit
}

// noteCommits has every commit noted. The broker handles nothing else while it is.
func (b *Broker) noteCommits(lazy bool) error {
	f, err := os.OpenFile(filepath.Join(b.keeper.scrub.dir, endingName), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	b.notes = &commitNotes{broker: b, file: f, sync: !lazy}
	b.cluster.ControlKey(int16(kmsg.EndTxn), func(req kmsg.Request) (kmsg.Response, error, bool) {
		end, ok := req.(*kmsg.EndTxnRequest)
		if !ok || !end.Commit {
			return nil, nil, false
		}
		b.notes.mu.Lock()
		defer b.notes.mu.Unlock()
		if b.notes.closing {
			b.cluster.KeepControl()
			return nil, errClosing, true
		}
		if err := b.notes.note(end.ProducerID, end.ProducerEpoch); err != nil {
			// Not to be able to say what a stop would leave undone is no reason to do it: the client
			// is left without an answer, and asks a new producer what became of it.
			b.keeper.log.Error("embedded broker: note a commit", "error", err)
			b.cluster.KeepControl()
			return nil, err, true
		}
		return nil, nil, false
	})
	return nil
}

var errClosing = errors.New("the broker is being closed")

// finishing bounds the wait for a commit that the broker may have refused, which leaves no entry.
const finishing = time.Second

// finish lets no other commit begin and waits for the end of the last one. A stop that the broker
// begins between the note and the commit writes the broker's state first: what the commit then does
// is half of one.
func (n *commitNotes) finish() {
	n.mu.Lock()
	n.closing = true
	last := n.last
	n.mu.Unlock()
	path := filepath.Join(n.broker.keeper.scrub.dir, "pids.log")
	for deadline := time.Now().Add(finishing); time.Now().Before(deadline); {
		info, err := os.Stat(path)
		if err != nil || info.Size() != last.Size {
			return
		}
		Pause(context.Background(), time.Millisecond)
	}
}

func (n *commitNotes) note(id int64, epoch int16) error {
	dir := n.broker.keeper.scrub.dir
	list, err := os.Stat(filepath.Join(dir, "topics.json"))
	if err != nil {
		return err
	}
	if !list.ModTime().Equal(n.listed) {
		if n.topics, err = topicsAtRest(dir); err != nil {
			return err
		}
		n.listed = list.ModTime()
	}
	e := ending{Version: endingVersion, ProducerID: id, Epoch: epoch, Ends: map[string][]int64{}}
	for _, t := range n.topics {
		ends := make([]int64, t.Partitions)
		for _, p := range n.broker.cluster.PartitionInfos(t.Name) {
			if int(p.Partition) < len(ends) {
				ends[p.Partition] = p.HighWatermark
			}
		}
		e.Ends[t.Name] = ends
	}
	if e.Producers, err = endOfLog(filepath.Join(dir, "pids.log"), -1); err != nil {
		return err
	}
	if e.Groups, err = endOfLog(filepath.Join(dir, "groups.log"), -1); err != nil {
		return err
	}
	n.last = e.Producers
	return n.write(e)
}

// write puts a note in the place of the one before, framed as an entry of the broker's own logs:
// one that a stop has torn is none, and the commit has not begun.
func (n *commitNotes) write(e ending) error {
	text, err := json.Marshal(e)
	if err != nil {
		return err
	}
	if _, err := n.file.WriteAt(frameEntry(text), 0); err != nil {
		return err
	}
	if n.sync {
		return n.file.Sync()
	}
	return nil
}

// takeBackHalfCommit undoes a commit that a stop came in the middle of.
func (s *scrub) takeBackHalfCommit(now time.Time) error {
	path := filepath.Join(s.dir, endingName)
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	e, ok, err := s.unfinished(raw)
	if err != nil {
		return err
	}
	if !ok {
		return os.Remove(path)
	}
	var undo []func() error
	err = s.each(func(p *partitionFiles, m partitionMark) error {
		ends := e.Ends[p.topic.Name]
		if int(p.number) >= len(ends) {
			return nil
		}
		w, err := s.walk(p, m, now)
		if err != nil || w.mark.Segment == noSegment || w.mark.Offset < ends[p.number] {
			return err
		}
		segment, at := p.segment(w.mark.Segment), w.mark.Position
		if ok, err := commits(segment, at, e); !ok || err != nil {
			return err
		}
		m.End = min(m.End, w.mark.Offset)
		unread := m.unread()
		s.mark.Partitions[p.name] = &unread
		undo = append(undo, func() error {
			return errors.Join(removeIfThere(filepath.Join(p.dir, "snapshot.json")),
				truncateSynced(segment, at))
		})
		return nil
	})
	if err != nil {
		return err
	}
	// The mark first: an end that is taken back is not one that is lost.
	if err := writeJSON(filepath.Join(s.dir, markName), s.mark); err != nil {
		return err
	}
	for _, fn := range undo {
		if err := fn(); err != nil {
			return err
		}
	}
	groups := filepath.Join(s.dir, "groups.log")
	if at, err := endOfLog(groups, e.Groups.Size); err == nil && at == e.Groups {
		if err := truncateSynced(groups, e.Groups.Size); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if len(undo) > 0 {
		// The broker has not ended well, whatever it wrote at the end: what is open in the partitions
		// that are read anew is aborted, as after a kill.
		s.killed = true
		if err := removeIfThere(filepath.Join(s.dir, "session_state.json")); err != nil {
			return err
		}
	}
	s.log.Warn("embedded broker: took back a transaction that a stop had left half committed",
		"producer", e.ProducerID, "partitions", len(undo))
	return os.Remove(path)
}

// unfinished reads a note and says whether the commit had not come to its end.
func (s *scrub) unfinished(raw []byte) (e ending, ok bool, err error) {
	size, whole := entryAt(raw, 0)
	if !whole || json.Unmarshal(raw[entryHeader:size], &e) != nil {
		return e, false, nil
	}
	if e.Version > endingVersion {
		return e, false, fmt.Errorf("%s has version %d and this program knows up to %d: a later version "+
			"of it has run here, run that one again", filepath.Join(s.dir, endingName), e.Version,
			endingVersion)
	}
	path := filepath.Join(s.dir, "pids.log")
	log, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return e, e.Producers == logEnd{}, nil
	}
	if err != nil {
		return e, false, err
	}
	if scan := scanLog(log, func([]byte) {}); scan.tail.from != e.Producers.Size {
		return e, false, nil
	}
	at, err := endOfLog(path, e.Producers.Size)
	return e, at == e.Producers, err
}

// commits says whether the batch at a position of a segment is the marker of a commit.
func commits(path string, at int64, e ending) (bool, error) {
	f, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer f.Close()
	raw, err := io.ReadAll(io.NewSectionReader(f, at, segmentWindow))
	if err != nil {
		return false, err
	}
	b, _, ok, err := nextBatch(raw)
	return ok && err == nil && b.control() && b.producerID == e.ProducerID && !b.endsAborted(), nil
}
