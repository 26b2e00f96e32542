package kafka

import (
	"encoding/binary"
	"encoding/json"
	"hash/crc32"
	"math"
	"time"
)

// A transaction that a stop has left open is aborted by the broker in its memory only. A reader of
// the protocol waits for the marker, and takes what the same producer commits next for aborted; the
// start after the next stop takes what was aborted for committed with it. And a producer that
// outlives the broker is told that its commit succeeded, as a repetition of the one before. So the
// markers are written, and every transactional producer gets another epoch and is fenced.

// abortOpen writes abort markers for the transactions that are open in a partition.
func (s *scrub) abortOpen(p *partitionFiles, m *partitionMark, now time.Time) error {
	for id, epoch := range m.Open {
		raw := abortMarker(m.End, id, epoch, now)
		if err := appendSynced(p.segment(m.Segment), raw); err != nil {
			return err
		}
		entry := indexOf(frame{attributes: attrTxn | attrControl, newest: now.UnixMilli()})
		if err := appendSynced(p.index(m.Segment), entry); err != nil {
			return err
		}
		m.End++
	}
	w, err := s.walk(p, *m, now)
	*m = w.mark
	return err
}

// abortMarker is the batch that ends a transaction without its records: "Control Batches" in the
// protocol guide.
func abortMarker(offset, id int64, epoch int16, now time.Time) []byte {
	b := emptyBatch(offset, now)
	key, value := make([]byte, 4), make([]byte, 6) // version 0, type 0 is abort; coordinator epoch 0
	b = appendRecord(b, &Message{Key: key, Value: value}, 0, 0)
	binary.BigEndian.PutUint32(b[atLength:], uint32(len(b)-lengthCovers))
	binary.BigEndian.PutUint16(b[atAttributes:], attrTxn|attrControl)
	binary.BigEndian.PutUint64(b[atProducerID:], uint64(id))
	binary.BigEndian.PutUint16(b[atEpoch:], uint16(epoch))
	binary.BigEndian.PutUint32(b[atCount:], 1)
	binary.BigEndian.PutUint32(b[atCRC:], crc32.Checksum(b[atAttributes:], castagnoli()))
	return b
}

// producerEpochs replays the producers' log: the last epoch of each transactional producer.
type producerEpochs map[int64]int16

type producerEntry struct {
	Type          string `json:"type"`
	ID            int64  `json:"pid"`
	Epoch         int16  `json:"epoch"`
	Transactional string `json:"txid,omitempty"`
}

func (p producerEpochs) read(entry []byte) {
	var e producerEntry
	if json.Unmarshal(entry, &e) != nil {
		return
	}
	if _, known := p[e.ID]; known || e.Transactional != "" {
		p[e.ID] = e.Epoch
	}
}

// fence gives each transactional producer its next epoch, as the broker does when a transaction
// times out.
func (p producerEpochs) fence(path string) error {
	var entries []byte
	for id, epoch := range p {
		if epoch == math.MaxInt16 {
			continue
		}
		text, err := json.Marshal(producerEntry{Type: "timeout", ID: id, Epoch: epoch + 1})
		if err != nil {
			return err
		}
		entries = append(entries, frameEntry(text)...)
	}
	if len(entries) == 0 {
		return nil
	}
	return appendSynced(path, entries)
}
