package spill

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"strconv"
	"strings"

	"crumbtrail/internal/kafka"
)

// A segment is a header and frames. Numbers are big endian, checksums CRC-32C.
//
//	preamble magic[8] version:4 checksum:4
//	header   preamble segment:8 first:8 marker[8] checksum:4
//	frame    marker[8] checksum:4 length:4 sequence:8 payload[length]
//	position preamble sequence:8 checksum:4
//
// A checksum is of all before it, and a frame's of all after it. The preamble is the same in every
// version. first is the sequence number that the segment's first frame has. Sequence numbers grow
// by one from frame to frame; those of writes that failed are missing. The marker is drawn for each
// segment, so that no client can put into a beacon what looks like a frame.
const (
	formatVersion = 1
	preambleBytes = 16
	headerBytes   = preambleBytes + 28
	frameBytes    = 24
	positionBytes = preambleBytes + 12
)

const (
	segmentMagic  = "ct-spill"
	positionMagic = "ct-spos\n"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

var (
	errNewer   = errors.New("a newer format")
	errDamaged = errors.New("damaged")
)

type marker [8]byte

// header is the beginning of a segment.
type header struct {
	segment uint64
	first   uint64
	marker  marker
}

func appendChecksum(b []byte, from int) []byte {
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b[from:], castagnoli))
}

// sums says whether b ends in the checksum of what is before it.
func sums(b []byte) bool {
	at := len(b) - 4
	return crc32.Checksum(b[:at], castagnoli) == binary.BigEndian.Uint32(b[at:])
}

func appendPreamble(b []byte, magic string) []byte {
	at := len(b)
	b = binary.BigEndian.AppendUint32(append(b, magic...), formatVersion)
	return appendChecksum(b, at)
}

// checkPreamble returns errNewer for a file of a later version, errDamaged for what is none of
// ours.
func checkPreamble(b []byte, magic string) error {
	if len(b) < preambleBytes || string(b[:8]) != magic || !sums(b[:preambleBytes]) {
		return errDamaged
	}
	switch version := binary.BigEndian.Uint32(b[8:]); {
	case version > formatVersion:
		return fmt.Errorf("%w, version %d", errNewer, version)
	case version < formatVersion:
		return errDamaged
	}
	return nil
}

func appendHeader(b []byte, h header) []byte {
	at := len(b)
	b = appendPreamble(b, segmentMagic)
	b = binary.BigEndian.AppendUint64(b, h.segment)
	b = binary.BigEndian.AppendUint64(b, h.first)
	return appendChecksum(append(b, h.marker[:]...), at)
}

func decodeHeader(b []byte) (h header, err error) {
	if err := checkPreamble(b, segmentMagic); err != nil {
		return h, err
	}
	if len(b) < headerBytes || !sums(b[:headerBytes]) {
		return h, errDamaged
	}
	h.segment = binary.BigEndian.Uint64(b[preambleBytes:])
	h.first = binary.BigEndian.Uint64(b[preambleBytes+8:])
	copy(h.marker[:], b[preambleBytes+16:])
	return h, nil
}

func encodePosition(sequence uint64) []byte {
	b := binary.BigEndian.AppendUint64(appendPreamble(nil, positionMagic), sequence)
	return appendChecksum(b, 0)
}

func decodePosition(b []byte) (sequence uint64, err error) {
	if err := checkPreamble(b, positionMagic); err != nil {
		return 0, err
	}
	if len(b) != positionBytes || !sums(b) {
		return 0, errDamaged
	}
	return binary.BigEndian.Uint64(b[preambleBytes:]), nil
}

// Frame is what must be durable together.
type Frame struct {
	// LowUs is no later than when anything in this frame, or in one that is appended after it, came
	// in, in microseconds since the epoch.
	LowUs int64
	// Messages go to the log in this order. Their partition is not kept: it follows from the key.
	Messages []kafka.Message
}

// appendFrame encodes a frame.
func appendFrame(b []byte, m marker, sequence uint64, f *Frame) []byte {
	at := len(b)
	b = append(append(b, m[:]...), 0, 0, 0, 0, 0, 0, 0, 0)
	b = binary.BigEndian.AppendUint64(b, sequence)
	b = appendPayload(b, f)
	binary.BigEndian.PutUint32(b[at+12:], uint32(len(b)-at-frameBytes))
	binary.BigEndian.PutUint32(b[at+8:], crc32.Checksum(b[at+12:], castagnoli))
	return b
}

// sizeOf bounds the bytes that a frame takes.
func sizeOf(f *Frame) int64 {
	const numbers = 4 * binary.MaxVarintLen64
	size := int64(frameBytes + numbers)
	for i := range f.Messages {
		m := &f.Messages[i]
		size += int64(len(m.Topic) + len(m.Key) + len(m.Value) + numbers)
	}
	return size
}

func appendPayload(b []byte, f *Frame) []byte {
	b = binary.AppendVarint(b, f.LowUs)
	b = binary.AppendUvarint(b, uint64(len(f.Messages)))
	for i := range f.Messages {
		m := &f.Messages[i]
		b = binary.AppendUvarint(b, uint64(len(m.Topic)))
		b = append(b, m.Topic...)
		b = binary.AppendVarint(b, m.Timestamp)
		b = appendBytes(b, m.Key)
		b = appendBytes(b, m.Value)
	}
	return b
}

// appendBytes encodes bytes that may be nil, which is not the same as none.
func appendBytes(b, field []byte) []byte {
	if field == nil {
		return append(b, 0)
	}
	return append(binary.AppendUvarint(b, uint64(len(field))+1), field...)
}

// payload reads what appendPayload wrote, and errors once it cannot.
type payload struct {
	rest []byte
	err  error
}

func (p *payload) uvarint() uint64 {
	n, size := binary.Uvarint(p.rest)
	if size <= 0 {
		p.rest, p.err = nil, errDamaged
		return 0
	}
	p.rest = p.rest[size:]
	return n
}

func (p *payload) varint() int64 {
	n, size := binary.Varint(p.rest)
	if size <= 0 {
		p.rest, p.err = nil, errDamaged
		return 0
	}
	p.rest = p.rest[size:]
	return n
}

func (p *payload) take(n uint64) []byte {
	if n > uint64(len(p.rest)) {
		p.rest, p.err = nil, errDamaged
		return nil
	}
	b := p.rest[:n:n]
	p.rest = p.rest[n:]
	return b
}

func (p *payload) bytes() []byte {
	n := p.uvarint()
	if n == 0 {
		return nil
	}
	return p.take(n - 1)
}

// decodePayload returns a frame whose messages alias b.
func decodePayload(b []byte) (f Frame, err error) {
	p := payload{rest: b}
	f.LowUs = p.varint()
	count := p.uvarint()
	const least = 4 // bytes of a message
	if count > uint64(len(p.rest)/least) {
		return Frame{}, errDamaged
	}
	f.Messages = make([]kafka.Message, 0, count)
	for range count {
		m := kafka.Message{Partition: kafka.AnyPartition}
		m.Topic = string(p.take(p.uvarint()))
		m.Timestamp = p.varint()
		m.Key = p.bytes()
		m.Value = p.bytes()
		f.Messages = append(f.Messages, m)
	}
	if p.err != nil || len(p.rest) > 0 {
		return Frame{}, errDamaged
	}
	return f, nil
}

// walker goes over the frames of a segment, from one that begins at its first byte on, and over
// what is no frame.
type walker struct {
	data   []byte
	marker marker
	// at is where the last frame that verified ends.
	at int
	// last is that frame's sequence number.
	last uint64
	// skipped is true once something that does not verify lay before a frame that does: that is
	// damage, while nothing but such bytes at the end is a write that was cut off.
	skipped bool
}

// next returns the next frame that verifies; false is the end of them.
func (w *walker) next() (f Frame, sequence uint64, ok bool) {
	for at := w.at; ; at++ {
		found := bytes.Index(w.data[at:], w.marker[:])
		if found < 0 {
			return Frame{}, 0, false
		}
		at += found
		size, sequence, payload := verified(w.data[at:])
		if size == 0 || sequence <= w.last {
			continue
		}
		f, err := decodePayload(payload)
		if err != nil {
			continue
		}
		w.skipped = w.skipped || at > w.at
		w.at, w.last = at+size, sequence
		return f, sequence, true
	}
}

// verified reads the frame that b begins with; size is 0 where its checksum says that it is none.
func verified(b []byte) (size int, sequence uint64, payload []byte) {
	if len(b) < frameBytes {
		return 0, 0, nil
	}
	length := int64(binary.BigEndian.Uint32(b[12:]))
	if length > int64(len(b)-frameBytes) {
		return 0, 0, nil
	}
	size = frameBytes + int(length)
	if crc32.Checksum(b[12:size], castagnoli) != binary.BigEndian.Uint32(b[8:]) {
		return 0, 0, nil
	}
	return size, binary.BigEndian.Uint64(b[16:]), b[frameBytes:size]
}

// segmentSuffix ends the name of a segment, whose beginning is its number.
const (
	segmentSuffix = ".spill"
	corruptInfix  = ".corrupt-"
	positionName  = "position"
	tmpSuffix     = ".tmp"
)

func segmentName(segment uint64) string { return fmt.Sprintf("%016d%s", segment, segmentSuffix) }

// segmentOf returns the number in the name of a segment, or of what one was renamed to.
func segmentOf(name string) (segment uint64, corrupt, ok bool) {
	name, _, corrupt = strings.Cut(name, corruptInfix)
	digits, ok := strings.CutSuffix(name, segmentSuffix)
	if !ok {
		return 0, corrupt, false
	}
	segment, err := strconv.ParseUint(digits, 10, 64)
	return segment, corrupt, err == nil && segmentName(segment) == name
}
