package kafka

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/klauspost/compress/zstd"
	"github.com/segmentio/kafka-go/compress"
)

// Record batches, format 2, as the Kafka protocol guide lays them out ("Record Batch"). Encoding
// and decoding are done here because kafka-go stamps no producer id, and because its Fetch
// allocates for each record.
const (
	atLength      = 8
	atMagic       = 16
	atCRC         = 17
	atAttributes  = 21
	atLastDelta   = 23
	atBaseTime    = 27
	atMaxTime     = 35
	atProducerID  = 43
	atEpoch       = 51
	atSequence    = 53
	atCount       = 57
	batchHeader   = 61
	lengthCovers  = 12 // bytes before what the length counts
	attrCodec     = 0x07
	attrAppended  = 0x08 // timestamps are the broker's append time
	attrTxn       = 0x10
	attrControl   = 0x20
	codecZstd     = 4
	encoderWindow = 256 << 10
	compressAbove = 512 // bytes of records below which compression costs more than it saves
)

// producerStamp is the identity that makes a batch idempotent.
type producerStamp struct {
	id            int64
	epoch         int16
	sequence      int32
	transactional bool
}

// batchEncoder turns messages into record batches, keeping its buffers.
type batchEncoder struct {
	zstd    *zstd.Encoder
	records []byte
}

func newBatchEncoder() *batchEncoder {
	// One goroutine and a small window: batches are below a megabyte, each partition of each stage
	// has a producer, and the library's own window is 8 MiB for each.
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest),
		zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(encoderWindow),
		zstd.WithLowerEncoderMem(true))
	if err != nil {
		panic("zstd options: " + err.Error())
	}
	return &batchEncoder{zstd: enc}
}

// encode appends one batch with the messages to dst. All go to one partition.
func (e *batchEncoder) encode(dst []byte, msgs []Message, stamp producerStamp) []byte {
	base, most := msgs[0].Timestamp, msgs[0].Timestamp
	e.records = e.records[:0]
	for i := range msgs {
		e.records = appendRecord(e.records, &msgs[i], msgs[i].Timestamp-base, i)
		most = max(most, msgs[i].Timestamp)
	}
	at := len(dst)
	dst = append(dst, make([]byte, batchHeader)...)
	var attributes uint16
	if stamp.transactional {
		attributes |= attrTxn
	}
	if len(e.records) > compressAbove {
		attributes |= codecZstd
		dst = e.zstd.EncodeAll(e.records, dst)
	} else {
		dst = append(dst, e.records...)
	}
	b := dst[at:]
	binary.BigEndian.PutUint32(b[atLength:], uint32(len(b)-lengthCovers))
	binary.BigEndian.PutUint32(b[lengthCovers:], ^uint32(0)) // leader epoch: the broker's to set
	b[atMagic] = 2
	binary.BigEndian.PutUint16(b[atAttributes:], attributes)
	binary.BigEndian.PutUint32(b[atLastDelta:], uint32(len(msgs)-1))
	binary.BigEndian.PutUint64(b[atBaseTime:], uint64(base))
	binary.BigEndian.PutUint64(b[atMaxTime:], uint64(most))
	binary.BigEndian.PutUint64(b[atProducerID:], uint64(stamp.id))
	binary.BigEndian.PutUint16(b[atEpoch:], uint16(stamp.epoch))
	binary.BigEndian.PutUint32(b[atSequence:], uint32(stamp.sequence))
	binary.BigEndian.PutUint32(b[atCount:], uint32(len(msgs)))
	binary.BigEndian.PutUint32(b[atCRC:], crc32.Checksum(b[atAttributes:], castagnoli()))
	return dst
}

func appendRecord(dst []byte, m *Message, timeDelta int64, offsetDelta int) []byte {
	size := 1 + varintSize(timeDelta) + varintSize(int64(offsetDelta)) +
		bytesSize(m.Key) + bytesSize(m.Value) + 1
	dst = binary.AppendVarint(dst, int64(size))
	dst = append(dst, 0) // attributes: unused
	dst = binary.AppendVarint(dst, timeDelta)
	dst = binary.AppendVarint(dst, int64(offsetDelta))
	dst = appendBytes(dst, m.Key)
	dst = appendBytes(dst, m.Value)
	return append(dst, 0) // no headers
}

func appendBytes(dst, b []byte) []byte {
	if b == nil {
		return binary.AppendVarint(dst, -1)
	}
	dst = binary.AppendVarint(dst, int64(len(b)))
	return append(dst, b...)
}

func bytesSize(b []byte) int {
	if b == nil {
		return 1
	}
	return varintSize(int64(len(b))) + len(b)
}

func varintSize(v int64) int {
	n, u := 1, uint64(v<<1)^uint64(v>>63)
	for u >= 0x80 {
		u >>= 7
		n++
	}
	return n
}

// errCorrupt is what a batch fails with that is not what somebody wrote.
var errCorrupt = errors.New("corrupt record batch")

// batch is one record batch of a fetch, its records still packed.
type batch struct {
	baseOffset int64
	lastDelta  int32
	attributes uint16
	baseTime   int64
	maxTime    int64
	producerID int64
	count      int32
	records    []byte
}

func (b *batch) transactional() bool { return b.attributes&attrTxn != 0 }
func (b *batch) control() bool       { return b.attributes&attrControl != 0 }

// next returns the offset after the batch; compaction may have taken its last records away.
func (b *batch) next() int64 { return b.baseOffset + int64(b.lastDelta) + 1 }

// nextBatch takes the first batch off data. ok is false where only a part of one is left, which
// a broker may send at the end of an answer.
func nextBatch(data []byte) (b batch, rest []byte, ok bool, err error) {
	if len(data) < lengthCovers {
		return b, nil, false, nil
	}
	b.baseOffset = int64(binary.BigEndian.Uint64(data))
	length := int64(int32(binary.BigEndian.Uint32(data[atLength:])))
	if length < batchHeader-lengthCovers {
		return b, nil, false, fmt.Errorf("%w at offset %d: length %d", errCorrupt, b.baseOffset, length)
	}
	if int64(len(data)) < lengthCovers+length {
		return b, nil, false, nil
	}
	raw := data[:lengthCovers+length]
	rest = data[lengthCovers+length:]
	if raw[atMagic] != 2 {
		return b, nil, false, fmt.Errorf("%w at offset %d: format %d, want 2",
			errCorrupt, b.baseOffset, raw[atMagic])
	}
	sum := crc32.Checksum(raw[atAttributes:], castagnoli())
	if sum != binary.BigEndian.Uint32(raw[atCRC:]) {
		return b, nil, false, fmt.Errorf("%w at offset %d: checksum differs", errCorrupt, b.baseOffset)
	}
	b.attributes = binary.BigEndian.Uint16(raw[atAttributes:])
	b.lastDelta = int32(binary.BigEndian.Uint32(raw[atLastDelta:]))
	b.baseTime = int64(binary.BigEndian.Uint64(raw[atBaseTime:]))
	b.maxTime = int64(binary.BigEndian.Uint64(raw[atMaxTime:]))
	b.producerID = int64(binary.BigEndian.Uint64(raw[atProducerID:]))
	b.count = int32(binary.BigEndian.Uint32(raw[atCount:]))
	b.records = raw[batchHeader:]
	if b.lastDelta < 0 || b.count < 0 {
		return b, nil, false, fmt.Errorf("%w at offset %d: %d records, last delta %d",
			errCorrupt, b.baseOffset, b.count, b.lastDelta)
	}
	return b, rest, true, nil
}

// maxUnpacked bounds what one batch may unpack to.
const maxUnpacked = 256 << 20

// unpack returns the records' bytes, decompressed.
func (b *batch) unpack(dec *zstd.Decoder) ([]byte, error) {
	switch codec := b.attributes & attrCodec; codec {
	case 0:
		return b.records, nil
	case codecZstd:
		out, err := dec.DecodeAll(b.records, nil)
		if err != nil {
			return nil, fmt.Errorf("%w at offset %d: %w", errCorrupt, b.baseOffset, err)
		}
		return out, nil
	default:
		c := compress.Compression(codec).Codec()
		if c == nil {
			return nil, fmt.Errorf("%w at offset %d: compression %d", errCorrupt, b.baseOffset, codec)
		}
		r := c.NewReader(bytes.NewReader(b.records))
		defer r.Close()
		out, err := io.ReadAll(io.LimitReader(r, maxUnpacked))
		if err != nil {
			return nil, fmt.Errorf("%w at offset %d: %w", errCorrupt, b.baseOffset, err)
		}
		return out, nil
	}
}

// appendRecords decodes the batch's records from offset from on.
func (b *batch) appendRecords(dst []Record, unpacked []byte, from int64) ([]Record, error) {
	data := unpacked
	for i := range b.count {
		size, n := binary.Varint(data)
		if n <= 0 || size < 0 || size > int64(len(data)-n) {
			return dst, fmt.Errorf("%w at offset %d: record %d of %d", errCorrupt, b.baseOffset, i, b.count)
		}
		r, err := b.record(data[n : n+int(size)])
		if err != nil {
			return dst, fmt.Errorf("%w: record %d of %d", err, i, b.count)
		}
		data = data[n+int(size):]
		if r.Offset >= from {
			dst = append(dst, r)
		}
	}
	return dst, nil
}

func (b *batch) record(data []byte) (r Record, err error) {
	d := varintReader{data: data}
	d.skip(1)
	timeDelta := d.varint()
	offsetDelta := d.varint()
	r.Key = d.bytes()
	r.Value = d.bytes()
	if d.failed {
		return r, fmt.Errorf("%w at offset %d", errCorrupt, b.baseOffset)
	}
	r.Offset = b.baseOffset + offsetDelta
	r.Timestamp = b.baseTime + timeDelta
	if b.attributes&attrAppended != 0 {
		r.Timestamp = b.maxTime
	}
	return r, nil
}

type varintReader struct {
	data   []byte
	failed bool
}

func (d *varintReader) skip(n int) {
	if n > len(d.data) {
		d.failed = true
		return
	}
	d.data = d.data[n:]
}

func (d *varintReader) varint() int64 {
	v, n := binary.Varint(d.data)
	if n <= 0 {
		d.failed = true
		return 0
	}
	d.data = d.data[n:]
	return v
}

func (d *varintReader) bytes() []byte {
	n := d.varint()
	if n < 0 {
		return nil
	}
	if d.failed || n > int64(len(d.data)) {
		d.failed = true
		return nil
	}
	b := d.data[:n:n]
	d.data = d.data[n:]
	return b
}

// castagnoli returns the CRC-32C table; crc32 makes it once and keeps it.
func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }
