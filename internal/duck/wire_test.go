package duck

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// recorder is a sink that keeps what it was given, as text.
type recorder struct{ lines []string }

func (r *recorder) begin(columns []Column) error {
	r.lines = append(r.lines, fmt.Sprintf("%q", columns))
	return nil
}

func (r *recorder) row(cells []cell) error {
	line := ""
	for _, c := range cells {
		if c.null {
			line += "NULL "
		} else {
			line += fmt.Sprintf("%q ", c.text)
		}
	}
	r.lines = append(r.lines, line)
	return nil
}

func (r *recorder) end() error {
	r.lines = append(r.lines, "end")
	return nil
}

func sample() []byte {
	var out bytes.Buffer
	w := newRowWriter(&out)
	w.columns([]Column{{"a", "VARCHAR"}, {"b", "BIGINT"}})
	for range 2 {
		_ = w.begin()
		w.value("x")
		w.null()
	}
	_ = w.end()
	return out.Bytes()
}

func TestStreamRoundTrip(t *testing.T) {
	var got recorder
	if err := readStream(bytes.NewReader(sample()), &got); err != nil {
		t.Fatal(err)
	}
	want := []string{`[{"a" "VARCHAR"} {"b" "BIGINT"}]`, `"x" NULL `, `"x" NULL `, "end"}
	if diff := cmp.Diff(want, got.lines); diff != "" {
		t.Error(diff)
	}
}

// However a stream is cut, it never looks whole.
func TestStreamCutAnywhereIsAnError(t *testing.T) {
	whole := sample()
	for n := range whole {
		var broken *streamError
		err := readStream(bytes.NewReader(whole[:n]), &recorder{})
		if !errors.As(err, &broken) || !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("cut at %d of %d: %v", n, len(whole), err)
		}
	}
}

func FuzzReadStream(f *testing.F) {
	f.Add(sample())
	f.Add([]byte("e\x05wrong"))
	f.Add([]byte("c\xff\xff\xff\xff\x0f"))
	f.Fuzz(func(t *testing.T, stream []byte) {
		var got recorder
		err := readStream(bytes.NewReader(stream), &got)
		if whole := len(got.lines) > 0 && got.lines[len(got.lines)-1] == "end"; whole != (err == nil) {
			t.Errorf("whole %t, error %v", whole, err)
		}
	})
}

// What single takes off a statement is never part of it.
func FuzzSingle(f *testing.F) {
	for _, s := range []string{"SELECT 1;", "SELECT ';' -- ;\n;", "$a$;$a$;;", "E'\\';';", "/*;*/1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, sql string) {
		statement, err := single(sql)
		if err != nil {
			return
		}
		if len(statement) > len(sql) || sql[:len(statement)] != statement {
			t.Fatalf("%q is no beginning of %q", statement, sql)
		}
		again, err := single(statement)
		if err != nil || again != statement {
			t.Errorf("%q became %q, %v", statement, again, err)
		}
	})
}
