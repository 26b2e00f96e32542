// Package strictyaml reads a YAML document (JSON included) into Go structs by their `yaml` tags
// and writes nothing; it guarantees that every problem of a file is reported at once, each with
// file, line and path, and that nothing in the file is silently ignored.
//
// It is stricter than YAML: an unknown key, a key given twice, a value of another type than the
// field's, a second document and merge keys are problems. It knows these field types: string,
// bool, integers, floats, time.Duration ("30m", "28d"), anything that implements
// encoding.TextUnmarshaler, and structs, pointers, slices and string-keyed maps of them.
//
// A tag is the key's name, then options: `yaml:"key,required"` makes an absent key a problem,
// `yaml:"on,single"` lets one value stand for a list of one. A field without a tag has its name in
// snake_case as its key, one tagged "-" has none. A key without a value is an absent key.
package strictyaml

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Defaulter is implemented by the pointer of a struct that is not zero when nothing is said: it
// is called on each list element, map value and pointer target before the file's keys are read
// into it.
type Defaulter interface{ SetDefaults() }

// Document remembers where in the file each value stands, for checks made after decoding.
type Document struct {
	// File is the name given to Decode.
	File string

	positions map[string]position
}

type position struct{ line, column int }

// Decode reads data into what into points to, a struct pointer. What the file does not name
// keeps its value. Problems come in the order of their lines; with any, into is filled as far as
// the file makes sense. An empty file is a document without keys.
func Decode(file string, data []byte, into any) (*Document, Problems) {
	target := reflect.ValueOf(into)
	if target.Kind() != reflect.Pointer || target.IsNil() {
		panic(fmt.Sprintf("strictyaml: decode into %T, not a pointer", into))
	}
	d := &decoder{doc: &Document{File: file, positions: map[string]position{}}}
	root := d.parse(data)
	if root == nil {
		root = &yaml.Node{Kind: yaml.MappingNode, Tag: mapTag, Line: 1, Column: 1}
	}
	if len(d.problems) == 0 {
		d.value("", root, target.Elem(), field{}, 0)
	}
	d.problems.Sort()
	return d.doc, d.problems
}

// parse returns the root node of the only document, nil where there is none.
func (d *decoder) parse(data []byte) *yaml.Node {
	parser := yaml.NewDecoder(bytes.NewReader(fromJSON(data)))
	var first, second yaml.Node
	switch err := parser.Decode(&first); {
	case errors.Is(err, io.EOF):
		return nil
	case err != nil:
		d.syntax(err)
		return nil
	}
	switch err := parser.Decode(&second); {
	case errors.Is(err, io.EOF):
	case err != nil:
		d.syntax(err)
	default:
		d.problem("", &second, "a second document begins here", "keep one document a file")
	}
	if len(first.Content) == 0 {
		return nil
	}
	if root := first.Content[0]; root.ShortTag() != nullTag {
		return root
	}
	return nil
}

// syntaxLine is how the YAML parser says where it gave up.
var syntaxLine = regexp.MustCompile(`^yaml: line (\d+): (.*)$`)

func (d *decoder) syntax(err error) {
	p := Problem{File: d.doc.File, Line: 1, Column: 1}
	p.Message = strings.TrimPrefix(err.Error(), "yaml: ")
	if m := syntaxLine.FindStringSubmatch(err.Error()); m != nil {
		p.Line, _ = strconv.Atoi(m[1]) // digits by the expression
		p.Message = m[2]
	}
	p.Message = "not valid YAML: " + p.Message
	d.problems = append(d.problems, p)
}

// Position returns where the value at a path such as sites[0].gap stands, or the nearest value
// around it that the file names; 1, 1 where the file names none. Lines and columns count from 1.
func (d *Document) Position(path string) (line, column int) {
	for {
		if at, ok := d.positions[path]; ok {
			return at.line, at.column
		}
		if path == "" {
			return 1, 1
		}
		path = path[:max(0, strings.LastIndexAny(path, ".["))]
	}
}

// Line returns the line of Position.
func (d *Document) Line(path string) int {
	line, _ := d.Position(path)
	return line
}

// Has reports whether the file gives a value at the path.
func (d *Document) Has(path string) bool {
	_, ok := d.positions[path]
	return ok
}

// Problem makes a problem with the value at a path; hint says what to do and may be empty.
func (d *Document) Problem(path, message, hint string) Problem {
	line, column := d.Position(path)
	return Problem{
		File: d.File, Line: line, Column: column, Path: path, Message: message, Hint: hint,
	}
}
