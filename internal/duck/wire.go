package duck

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"
)

// What a child writes: a frame's kind, then its fields, all lengths as unsigned varints.
//
//	'c' columns: their number, then of each its name and type as length and bytes
//	'r' a row: of each column 0 for NULL, else length + 1 and the text's bytes
//	'z' the end of a whole result
//	'e' an error: length and message
//
// What does not end in 'z' or 'e' was cut off.
const (
	frameColumns = 'c'
	frameRow     = 'r'
	frameEnd     = 'z'
	frameError   = 'e'
)

// Column is a column of a result.
type Column struct {
	Name string
	// Type is DuckDB's name of it, such as DECIMAL(9,2).
	Type string
}

// cell is a value's text.
type cell struct {
	text []byte
	null bool
}

// A reader of a stream gives up beyond these.
const (
	maxColumns = 4096
	maxText    = 256 << 20
)

// streamError is a stream that is not whole.
type streamError struct{ err error }

func (e *streamError) Error() string { return "read rows of a query: " + e.err.Error() }
func (e *streamError) Unwrap() error { return e.err }

// rowWriter writes a stream.
type rowWriter struct {
	w   *bufio.Writer
	len [binary.MaxVarintLen64]byte
}

func newRowWriter(w io.Writer) *rowWriter { return &rowWriter{w: bufio.NewWriterSize(w, 64<<10)} }

func (w *rowWriter) uvarint(n uint64) {
	_, _ = w.w.Write(w.len[:binary.PutUvarint(w.len[:], n)]) // a bufio.Writer keeps its error
}

func (w *rowWriter) text(s string) {
	w.uvarint(uint64(len(s)))
	_, _ = w.w.WriteString(s)
}

func (w *rowWriter) columns(columns []Column) {
	_ = w.w.WriteByte(frameColumns)
	w.uvarint(uint64(len(columns)))
	for _, c := range columns {
		w.text(c.Name)
		w.text(c.Type)
	}
}

func (w *rowWriter) begin() error { return w.w.WriteByte(frameRow) }

func (w *rowWriter) null() { w.uvarint(0) }

func (w *rowWriter) value(s string) {
	w.uvarint(uint64(len(s)) + 1)
	_, _ = w.w.WriteString(s)
}

func (w *rowWriter) end() error {
	_ = w.w.WriteByte(frameEnd)
	return w.w.Flush()
}

func (w *rowWriter) fail(message string) error {
	_ = w.w.WriteByte(frameError)
	w.text(message)
	return w.w.Flush()
}

// readStream passes a stream to a sink. It returns a *streamError where the stream is cut off or
// makes no sense, a *QueryError where it says so, and the sink's own errors.
func readStream(r io.Reader, to sink) error {
	in := bufio.NewReaderSize(r, 64<<10)
	var cells []cell
	begun := false
	for {
		kind, err := in.ReadByte()
		if err != nil {
			return &streamError{unexpected(err)}
		}
		switch {
		case kind == frameColumns && !begun:
			columns, err := readColumns(in)
			if err != nil {
				return &streamError{err}
			}
			cells, begun = make([]cell, len(columns)), true
			if err := to.begin(columns); err != nil {
				return err
			}
		case kind == frameRow && begun:
			if err := readCells(in, cells); err != nil {
				return &streamError{err}
			}
			if err := to.row(cells); err != nil {
				return err
			}
		case kind == frameEnd && begun:
			return to.end()
		case kind == frameError:
			message, err := readText(in, nil)
			if err != nil {
				return &streamError{err}
			}
			return &QueryError{string(message)}
		default:
			return &streamError{fmt.Errorf("unknown frame %q", kind)}
		}
	}
}

func readColumns(in *bufio.Reader) ([]Column, error) {
	n, err := binary.ReadUvarint(in)
	if err != nil {
		return nil, unexpected(err)
	}
	if n > maxColumns {
		return nil, fmt.Errorf("%d columns", n)
	}
	columns := make([]Column, n)
	for i := range columns {
		for _, field := range []*string{&columns[i].Name, &columns[i].Type} {
			text, err := readText(in, nil)
			if err != nil {
				return nil, err
			}
			*field = string(text)
		}
	}
	return columns, nil
}

func readCells(in *bufio.Reader, cells []cell) error {
	for i := range cells {
		n, err := binary.ReadUvarint(in)
		if err != nil {
			return unexpected(err)
		}
		cells[i].null = n == 0
		if n == 0 {
			continue
		}
		if cells[i].text, err = readBytes(in, n-1, cells[i].text); err != nil {
			return err
		}
	}
	return nil
}

func readText(in *bufio.Reader, buf []byte) ([]byte, error) {
	n, err := binary.ReadUvarint(in)
	if err != nil {
		return nil, unexpected(err)
	}
	return readBytes(in, n, buf)
}

// readBytes reads n bytes into buf, which grows by what has come, not by what was promised.
func readBytes(in *bufio.Reader, n uint64, buf []byte) ([]byte, error) {
	if n > maxText {
		return nil, fmt.Errorf("a text of %d bytes", n)
	}
	const step = 1 << 20
	buf = buf[:0]
	for left := int(n); left > 0; {
		k := min(left, step)
		at := len(buf)
		if cap(buf) < at+k {
			buf = append(buf, make([]byte, k)...)
		}
		buf = buf[:at+k]
		if _, err := io.ReadFull(in, buf[at:]); err != nil {
			return nil, unexpected(err)
		}
		left -= k
	}
	return buf, nil
}

func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

func (t *typedRows) row(cells []cell) error {
	for i, c := range cells {
		v, err := typedValue(t.columns[i], c)
		if err != nil {
			return &streamError{err}
		}
		t.values[i] = v
	}
	return t.emit(t.columns, t.values)
}

// typedValue is a cell as Rows promises it.
func typedValue(column Column, c cell) (any, error) {
	if c.null {
		return nil, nil
	}
	text := string(c.text)
	var v any
	var err error
	switch column.Type {
	case "BOOLEAN":
		v, err = strconv.ParseBool(text)
	case "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER":
		v, err = strconv.ParseInt(text, 10, 64)
	case "FLOAT", "DOUBLE":
		v, err = strconv.ParseFloat(text, 64)
	default:
		v = text
	}
	if err != nil {
		return nil, fmt.Errorf("column %q: %w", column.Name, err)
	}
	return v, nil
}
