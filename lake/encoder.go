package lake

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/bits"
	"slices"

	"github.com/apache/arrow/go/v15/parquet"
	"github.com/apache/arrow/go/v15/parquet/metadata"
	"github.com/klauspost/compress/zstd"
)

// encoder makes Parquet files in memory, one after the other. Pages are its own work, as Arrow
// makes a compressor of megabytes for each of them; Arrow writes what describes the file.
type encoder struct {
	zstd     *zstd.Encoder
	compress bool

	out bytes.Buffer // the file
	// These are used again for each page.
	page, packed   []byte
	codes, present []uint32
	numbers        []int64
}

func newEncoder() *encoder {
	// The options are right, else it would be an error.
	z, _ := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest),
		zstd.WithEncoderConcurrency(1), zstd.WithZeroFrames(true))
	return &encoder{zstd: z}
}

const magic = "PAR1"

// encode returns a file's bytes, which hold until the next call.
func (e *encoder) encode(p pending) ([]byte, error) {
	e.out.Reset()
	e.out.WriteString(magic)
	e.compress = p.rows >= fewRows
	properties := p.table.format.loose
	if e.compress {
		properties = p.table.format.packed
	}
	file := metadata.NewFileMetadataBuilder(p.table.format.schema, properties, nil)
	for i, g := range p.groups {
		rows := file.AppendRowGroup()
		rows.SetNumRows(g.rows)
		whole := int64(0)
		for c := range g.chunks {
			n, err := e.chunk(rows.NextColumnChunk(), &g.chunks[c])
			if err != nil {
				return nil, err
			}
			whole += n
		}
		if err := rows.Finish(whole, int16(i)); err != nil {
			return nil, err
		}
	}
	footer, err := file.Finish()
	if err != nil {
		return nil, err
	}
	n, err := footer.WriteTo(&e.out, nil)
	if err != nil {
		return nil, err
	}
	e.out.Write(binary.LittleEndian.AppendUint32(nil, uint32(n)))
	e.out.WriteString(magic)
	return e.out.Bytes(), nil
}

// chunk writes a column chunk and returns its size before compression.
func (e *encoder) chunk(to *metadata.ColumnChunkMetaDataBuilder, c *chunk) (int64, error) {
	began := e.out.Len()
	info := metadata.ChunkMetaInfo{NumValues: int64(c.rows), IndexPageOffset: -1}
	stats := metadata.EncodingStats{DataEncodingStats: map[parquet.Encoding]int32{}}
	encoding := c.encoding()
	byDictionary := encoding == parquet.Encodings.RLEDict
	if byDictionary {
		info.DictPageOffset = int64(began)
		stats.DictEncodingStats = map[parquet.Encoding]int32{parquet.Encodings.Plain: 1}
		e.page = e.page[:0]
		for _, v := range c.values {
			e.page = appendText(e.page, v)
		}
		info.UncompressedSize += e.write(pageHeader{kind: dictionaryPage, values: len(c.values)})
	}
	info.DataPageOffset = int64(e.out.Len())
	for from := 0; from < c.rows; from += pageRows {
		until := min(from+pageRows, c.rows)
		e.data(c, encoding, from, until)
		info.UncompressedSize += e.write(pageHeader{
			kind: dataPage, values: until - from, encoding: encoding,
		})
		stats.DataEncodingStats[encoding]++
	}
	info.CompressedSize = int64(e.out.Len() - began)
	if c.rows > 0 {
		to.SetStats(e.statistics(c))
	}
	return info.UncompressedSize, to.Finish(info, byDictionary, false, stats, nil)
}

// encoding is how the values are written. A dictionary that is hardly shorter than the rows is not
// worth it.
func (c *chunk) encoding() parquet.Encoding {
	const always = 1000
	switch {
	case c.column.layout == byDelta:
		return parquet.Encodings.DeltaBinaryPacked
	case c.column.layout == byDictionary && c.column.isText() && c.nulls < c.rows &&
		(len(c.values) <= always || 2*len(c.values) <= c.rows-c.nulls):
		return parquet.Encodings.RLEDict
	}
	return parquet.Encodings.Plain
}

// data makes the page of some rows: which of them are NULL, and the values of the others.
func (e *encoder) data(c *chunk, encoding parquet.Encoding, from, until int) {
	e.page = e.page[:0]
	e.codes = c.codesOf(e.codes[:0], from, until)
	if !c.column.key {
		e.levels(c)
	}
	switch {
	case encoding == parquet.Encodings.RLEDict:
		for i := range e.codes {
			e.codes[i]--
		}
		width := max(1, bits.Len(uint(len(c.values)-1)))
		e.page = append(e.page, byte(width))
		e.page = appendHybrid(e.page, e.codes, width)
	case c.column.layout == plainly && c.column.isText():
		e.page = append(e.page, c.page(from/pageRows)...)
	case c.column.isText():
		for _, code := range e.codes {
			e.page = appendText(e.page, c.values[code-1])
		}
	default:
		e.numbers = c.numbersOf(e.numbers[:0], from, until)
		e.page = appendNumbers(e.page, e.numbers, encoding, c.column)
	}
}

// levels writes which of the rows in codes are there, and takes the others out.
func (e *encoder) levels(c *chunk) {
	e.present = e.present[:0]
	for _, code := range e.codes {
		e.present = append(e.present, min(code, 1))
	}
	at := len(e.page)
	e.page = append(e.page, 0, 0, 0, 0)
	e.page = appendHybrid(e.page, e.present, 1)
	binary.LittleEndian.PutUint32(e.page[at:], uint32(len(e.page)-at-4))
	if c.nulls > 0 {
		e.codes = slices.DeleteFunc(e.codes, func(code uint32) bool { return code == 0 })
	}
}

// page is a page of texts that hardly ever repeat.
func (c *chunk) page(n int) []byte {
	if n+1 < len(c.pages) {
		return c.plain[c.pages[n]:c.pages[n+1]]
	}
	return c.plain[c.pages[n]:]
}

func appendNumbers(to []byte, values []int64, encoding parquet.Encoding, c *column) []byte {
	switch {
	case encoding == parquet.Encodings.DeltaBinaryPacked:
		return appendDelta(to, values, c.physical == parquet.Types.Int64)
	case c.physical == parquet.Types.Boolean:
		return appendBits(to, values)
	}
	for _, v := range values {
		to = appendNumber(to, v, c.physical != parquet.Types.Int32)
	}
	return to
}

// statistics are the least and the greatest of a chunk's values.
func (e *encoder) statistics(c *chunk) (s metadata.EncodedStatistics) {
	s.HasNullCount, s.NullCount = true, int64(c.nulls)
	if c.nulls == c.rows {
		return s
	}
	s.HasMin, s.HasMax = true, true
	switch {
	case !c.column.isText():
		s.Signed = true
		e.numbers = c.numbersOf(e.numbers[:0], 0, c.rows)
		s.Min, s.Max, s.HasMin = numberRange(e.numbers, c.column.physical)
		s.HasMax = s.HasMin
	case c.column.layout == byDictionary:
		least, most := c.values[0], c.values[0]
		for _, v := range c.values {
			least, most = min(least, v), max(most, v)
		}
		s.Min, s.Max = []byte(least), []byte(most)
	default:
		s.Min, s.Max = textRange(c.plain)
	}
	s.ApplyStatSizeLimits(mostStatistics)
	return s
}

// mostStatistics is how many bytes the least or the greatest value may have.
const mostStatistics = 1024

// textRange returns the least and the greatest of texts as they are in a page.
func textRange(plain []byte) (least, most []byte) {
	for first := true; len(plain) > 0; first = false {
		n := 4 + binary.LittleEndian.Uint32(plain)
		v := plain[4:n]
		if first || bytes.Compare(v, least) < 0 {
			least = v
		}
		if first || bytes.Compare(v, most) > 0 {
			most = v
		}
		plain = plain[n:]
	}
	return least, most
}

// numberRange returns the least and the greatest of numbers; ok is false where one is no number.
func numberRange(values []int64, physical parquet.Type) (least, most []byte, ok bool) {
	low, high := values[0], values[0]
	switch physical {
	case parquet.Types.Double:
		for _, v := range values {
			f := math.Float64frombits(uint64(v))
			if math.IsNaN(f) {
				return nil, nil, false
			}
			if f < math.Float64frombits(uint64(low)) {
				low = v
			}
			if f > math.Float64frombits(uint64(high)) {
				high = v
			}
		}
	default:
		for _, v := range values {
			low, high = min(low, v), max(high, v)
		}
	}
	if physical == parquet.Types.Boolean {
		return []byte{byte(low)}, []byte{byte(high)}, true
	}
	wide := physical != parquet.Types.Int32
	return appendNumber(nil, low, wide), appendNumber(nil, high, wide), true
}

// pageHeader is what stands before a page.
type pageHeader struct {
	kind     byte
	values   int
	encoding parquet.Encoding
}

// Kinds of page, as Parquet numbers them.
const (
	dataPage       = 0
	dictionaryPage = 2
)

// write puts the page into the file, compressed, and returns its size before.
func (e *encoder) write(h pageHeader) int64 {
	data := e.page
	if e.compress {
		e.packed = e.zstd.EncodeAll(e.page, e.packed[:0])
		data = e.packed
	}
	header := h.append(make([]byte, 0, 64), len(e.page), len(data))
	e.out.Write(header)
	e.out.Write(data)
	return int64(len(header) + len(e.page))
}

// append writes the header in Thrift's compact protocol: each field begins with how far its number
// is from the one before, in the upper four bits, and its type.
func (h pageHeader) append(to []byte, size, packed int) []byte {
	const integer, structure, end = 0x15, 0x0c, 0x00 // an integer, one further
	number := func(n int) {
		to = append(to, integer)
		to = binary.AppendVarint(to, int64(n))
	}
	number(int(h.kind)) // 1
	number(size)        // 2
	number(packed)      // 3
	if h.kind == dictionaryPage {
		to = append(to, 4<<4|structure) // 7
		number(h.values)
		number(int(parquet.Encodings.Plain))
	} else {
		to = append(to, 2<<4|structure) // 5
		number(h.values)
		number(int(h.encoding))
		number(int(parquet.Encodings.RLE)) // of definition levels
		number(int(parquet.Encodings.RLE)) // of repetition levels
	}
	return append(to, end, end)
}
