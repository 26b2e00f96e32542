package duck

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode/utf8"

	"golang.org/x/term"
)

// ValidFormat returns an error, which lists the formats, for a name that Format does not know.
func ValidFormat(name string) error {
	switch name {
	case "table", "csv", "json":
		return nil
	}
	return fmt.Errorf("format %q: want table, csv or json", name)
}

// formatter returns the sink that writes a format to w.
func formatter(format string, w io.Writer) (sink, error) {
	if err := ValidFormat(format); err != nil {
		return nil, err
	}
	out := bufio.NewWriterSize(w, 64<<10)
	switch format {
	case "csv":
		return &csvSink{w: out}, nil
	case "json":
		return &jsonSink{w: out}, nil
	}
	return &tableSink{w: out, width: terminalWidth(w)}, nil
}

// terminalWidth is how many columns a terminal has; 0 where w is none.
func terminalWidth(w io.Writer) int {
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return 0
	}
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return 0
	}
	return width
}

// csvSink writes RFC 4180 with LF. encoding/csv would quote texts that begin with a space and
// cannot tell NULL from an empty text.
type csvSink struct {
	w    *bufio.Writer
	line []byte
}

func (s *csvSink) begin(columns []Column) error {
	for i, c := range columns {
		s.field(i, cell{text: []byte(c.Name)})
	}
	return s.flush()
}

func (s *csvSink) row(cells []cell) error {
	for i, c := range cells {
		s.field(i, c)
	}
	return s.flush()
}

func (s *csvSink) field(i int, c cell) {
	if i > 0 {
		s.line = append(s.line, ',')
	}
	switch {
	case c.null:
	case needsQuotes(c.text):
		s.line = append(s.line, '"')
		for _, b := range c.text {
			if b == '"' {
				s.line = append(s.line, '"')
			}
			s.line = append(s.line, b)
		}
		s.line = append(s.line, '"')
	default:
		s.line = append(s.line, c.text...)
	}
}

// needsQuotes is true for the empty text too, as nothing at all stands for NULL.
func needsQuotes(text []byte) bool {
	if len(text) == 0 {
		return true
	}
	for _, b := range text {
		if b == ',' || b == '"' || b == '\n' || b == '\r' {
			return true
		}
	}
	return false
}

func (s *csvSink) flush() error {
	s.line = append(s.line, '\n')
	_, err := s.w.Write(s.line)
	s.line = s.line[:0]
	return err
}

func (s *csvSink) end() error { return s.w.Flush() }

// jsonSink writes an array of objects, one a line.
type jsonSink struct {
	w       *bufio.Writer
	columns []Column
	names   [][]byte
	rows    int
	line    []byte
}

func (s *jsonSink) begin(columns []Column) error {
	s.columns = columns
	for _, c := range columns {
		s.names = append(s.names, appendJSON(nil, []byte(c.Name)))
	}
	return s.w.WriteByte('[')
}

func (s *jsonSink) row(cells []cell) error {
	s.line = s.line[:0]
	if s.rows > 0 {
		s.line = append(s.line, ',')
	}
	s.rows++
	s.line = append(s.line, "\n{"...)
	for i, c := range cells {
		if i > 0 {
			s.line = append(s.line, ',')
		}
		s.line = append(append(s.line, s.names[i]...), ':')
		switch {
		case c.null:
			s.line = append(s.line, "null"...)
		case isJSON(s.columns[i].Type) && json.Valid(c.text):
			s.line = append(s.line, c.text...)
		default:
			s.line = appendJSON(s.line, c.text)
		}
	}
	s.line = append(s.line, '}')
	_, err := s.w.Write(s.line)
	return err
}

func (s *jsonSink) end() error {
	if s.rows > 0 {
		_ = s.w.WriteByte('\n') // a bufio.Writer keeps its error
	}
	_, _ = s.w.WriteString("]\n")
	return s.w.Flush()
}

// isJSON is true for types whose text is JSON where JSON can hold it at all.
func isJSON(typ string) bool {
	return typ == "BOOLEAN" || typ == "JSON" || isNumber(typ) || isNested(typ)
}

func isNumber(typ string) bool {
	switch typ {
	case "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT",
		"UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "UHUGEINT", "FLOAT", "DOUBLE":
		return true
	}
	return strings.HasPrefix(typ, "DECIMAL")
}

// appendJSON appends a text as a JSON string.
func appendJSON(dst, text []byte) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	for i := 0; i < len(text); {
		switch b := text[i]; {
		case b == '"' || b == '\\':
			dst = append(dst, '\\', b)
		case b == '\n':
			dst = append(dst, `\n`...)
		case b < 0x20 || b == 0x7f:
			dst = append(dst, '\\', 'u', '0', '0', hex[b>>4], hex[b&15])
		case b < utf8.RuneSelf:
			dst = append(dst, b)
		default:
			r, n := utf8.DecodeRune(text[i:])
			dst = utf8.AppendRune(dst, r) // what is no UTF-8 becomes U+FFFD
			i += n
			continue
		}
		i++
	}
	return append(dst, '"')
}
