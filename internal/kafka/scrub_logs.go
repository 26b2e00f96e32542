package kafka

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"hash/crc32"
)

// The embedded broker's groups and producers are logs of entries: length (uint32), CRC-32C (uint32)
// of what the length counts, version (uint16) and JSON, little-endian.
const (
	entryHeader  = 10
	entryCovered = 8 // bytes before what the length counts
)

// entryBegins is what every entry's JSON begins with.
const entryBegins = `{"type":"`

// logScan is what a walk through a state log found.
type logScan struct {
	whole []span // entries that verify, neighbours joined
	holes []span // what lies between them
	tail  span   // what follows the last of them
}

// scanLog walks over a state log. read is called with the JSON of each whole entry.
func scanLog(raw []byte, read func(entry []byte)) logScan {
	var s logScan
	at := 0
	for at < len(raw) {
		end, ok := entryAt(raw, at)
		if !ok {
			next, found := nextEntry(raw, at)
			if !found {
				break
			}
			s.holes = append(s.holes, span{int64(at), int64(next)})
			at = next
			continue
		}
		read(raw[at+entryHeader : end])
		if n := len(s.whole); n > 0 && s.whole[n-1].to == int64(at) {
			s.whole[n-1].to = int64(end)
		} else {
			s.whole = append(s.whole, span{int64(at), int64(end)})
		}
		at = end
	}
	s.tail = span{int64(at), int64(len(raw))}
	return s
}

// entryAt returns where the entry that begins at a position ends, if it is whole.
func entryAt(raw []byte, at int) (end int, ok bool) {
	if at < 0 || len(raw)-at < entryHeader {
		return 0, false
	}
	length := int64(binary.LittleEndian.Uint32(raw[at:]))
	if length < entryHeader-entryCovered || length > int64(len(raw)-at-entryCovered) {
		return 0, false
	}
	end = at + entryCovered + int(length)
	sum := binary.LittleEndian.Uint32(raw[at+4:])
	return end, crc32.Checksum(raw[at+entryCovered:end], castagnoli()) == sum
}

// frameEntry frames JSON as an entry.
func frameEntry(text []byte) []byte {
	b := make([]byte, entryHeader, entryHeader+len(text))
	binary.LittleEndian.PutUint32(b, uint32(entryHeader-entryCovered+len(text)))
	binary.LittleEndian.PutUint16(b[entryCovered:], 1)
	b = append(b, text...)
	binary.LittleEndian.PutUint32(b[4:], crc32.Checksum(b[entryCovered:], castagnoli()))
	return b
}

// nextEntry finds the first whole entry behind a position.
func nextEntry(raw []byte, after int) (at int, ok bool) {
	for from := after + 1; from < len(raw); {
		i := bytes.Index(raw[from:], []byte(entryBegins))
		if i < 0 {
			return 0, false
		}
		if at = from + i - entryHeader; at > after {
			if _, ok := entryAt(raw, at); ok {
				return at, true
			}
		}
		from += i + 1
	}
	return 0, false
}

// committedOffsets replays the groups' log: how far a group has come in a partition is a lower
// bound for where the partition ends.
type committedOffsets map[committedKey]int64

type committedKey struct {
	group, topic string
	partition    int32
}

func (c committedOffsets) read(entry []byte) {
	var e struct {
		Type      string `json:"type"`
		Group     string `json:"g"`
		Topic     string `json:"t"`
		Partition int32  `json:"p"`
		Offset    int64  `json:"o"`
	}
	if json.Unmarshal(entry, &e) != nil {
		return
	}
	key := committedKey{e.Group, e.Topic, e.Partition}
	switch e.Type {
	case "commit":
		c[key] = e.Offset
	case "delete":
		delete(c, key)
	}
}

// topicPartition names a partition as the broker does, prefix included.
type topicPartition struct {
	topic     string
	partition int32
}

// furthest returns the greatest offset that any group has committed, for each partition.
func (c committedOffsets) furthest() map[topicPartition]int64 {
	out := map[topicPartition]int64{}
	for k, offset := range c {
		tp := topicPartition{k.topic, k.partition}
		out[tp] = max(out[tp], offset)
	}
	return out
}
