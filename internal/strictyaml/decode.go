package strictyaml

import (
	"encoding"
	"errors"
	"fmt"
	"iter"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// Limits of a document, so that one with aliases cannot grow without end.
const (
	maxDepth = 64
	maxNodes = 200_000
)

const (
	nullTag   = "!!null"
	mapTag    = "!!map"
	seqTag    = "!!seq"
	stringTag = "!!str"
	intTag    = "!!int"
	floatTag  = "!!float"
	boolTag   = "!!bool"
	timeTag   = "!!timestamp"
)

var (
	durationType  = reflect.TypeFor[time.Duration]()
	textType      = reflect.TypeFor[encoding.TextUnmarshaler]()
	defaulterType = reflect.TypeFor[Defaulter]()
)

type decoder struct {
	doc      *Document
	problems Problems
	nodes    int
}

// field is what a struct tag says.
type field struct {
	name     string
	index    int
	required bool
	single   bool
}

// fields lists the keys of a struct type in the order of its declaration.
func fields(t reflect.Type) []field {
	var list []field
	for i := range t.NumField() {
		tag := t.Field(i).Tag.Get("yaml")
		if tag == "-" || !t.Field(i).IsExported() {
			continue
		}
		options := strings.Split(tag, ",")
		f := field{name: options[0], index: i}
		if f.name == "" {
			f.name = snake(t.Field(i).Name)
		}
		for _, option := range options[1:] {
			switch option {
			case "required":
				f.required = true
			case "single":
				f.single = true
			default:
				panic(fmt.Sprintf("strictyaml: %v: unknown option %q in tag of %s", t, option, f.name))
			}
		}
		list = append(list, f)
	}
	return list
}

// snake returns a Go name in snake_case: MaxAge is max_age, URLBytes url_bytes.
func snake(name string) string {
	upper := func(i int) bool { return i < len(name) && name[i] >= 'A' && name[i] <= 'Z' }
	lower := func(i int) bool { return i < len(name) && !upper(i) }
	var b strings.Builder
	for i := range len(name) {
		if i > 0 && upper(i) && (lower(i-1) || lower(i+1)) {
			b.WriteByte('_')
		}
		b.WriteString(strings.ToLower(name[i : i+1]))
	}
	return b.String()
}

func (d *decoder) problem(path string, n *yaml.Node, message, hint string) {
	d.problems = append(d.problems, Problem{
		File: d.doc.File, Line: n.Line, Column: n.Column, Path: path, Message: message, Hint: hint,
	})
}

// value reads the node at a path into a settable value. f says how its field is tagged.
func (d *decoder) value(path string, n *yaml.Node, into reflect.Value, f field, depth int) {
	if d.nodes++; d.nodes > maxNodes || depth > maxDepth {
		if d.nodes <= maxNodes+1 {
			d.problem(path, n, fmt.Sprintf("deeper than %d levels or more than %d values",
				maxDepth, maxNodes), "write it without aliases")
			d.nodes = maxNodes + 1
		}
		return
	}
	if _, known := d.doc.positions[path]; !known {
		d.doc.positions[path] = position{n.Line, n.Column}
	}
	if n.Kind == yaml.AliasNode {
		d.value(path, n.Alias, into, f, depth+1)
		return
	}
	t := into.Type()
	switch {
	case t.Kind() == reflect.Pointer:
		if into.IsNil() {
			into.Set(made(t.Elem()).Addr())
		}
		d.value(path, n, into.Elem(), f, depth)
	case reflect.PointerTo(t).Implements(textType):
		d.text(path, n, into)
	case t == durationType:
		d.duration(path, n, into)
	case t.Kind() == reflect.Struct:
		d.object(path, n, into, depth)
	case t.Kind() == reflect.Map:
		d.table(path, n, into, depth)
	case t.Kind() == reflect.Slice:
		d.list(path, n, into, f, depth)
	default:
		d.scalar(path, n, into)
	}
}

// made returns a new settable value of a type, with its defaults.
func made(t reflect.Type) reflect.Value {
	v := reflect.New(t)
	if v.Type().Implements(defaulterType) {
		v.Interface().(Defaulter).SetDefaults()
	}
	return v.Elem()
}

// pairs calls each for the keys of a mapping that have a value, and reports those given twice.
func (d *decoder) pairs(path string, n *yaml.Node, each func(name string, key, value *yaml.Node)) {
	if n.Kind != yaml.MappingNode || n.ShortTag() != mapTag {
		d.mismatch(path, n, "keys and values")
		return
	}
	lines := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if key.Kind != yaml.ScalarNode {
			d.problem(path, key, "a key must be text", "")
			continue
		}
		if key.Value == "<<" && key.Style == 0 {
			d.problem(path, key, "merge keys (<<) are not read", "write the keys out")
			continue
		}
		if line, twice := lines[key.Value]; twice {
			d.problem(join(path, key.Value), key,
				fmt.Sprintf("key %q is given twice, first in line %d", key.Value, line), "keep one")
			continue
		}
		lines[key.Value] = key.Line
		if isNull(value) {
			value = nil
		}
		each(key.Value, key, value)
	}
}

func isNull(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && n.ShortTag() == nullTag
}

func (d *decoder) object(path string, n *yaml.Node, into reflect.Value, depth int) {
	known := fields(into.Type())
	given := map[string]bool{}
	d.pairs(path, n, func(name string, key, value *yaml.Node) {
		at := slices.IndexFunc(known, func(f field) bool { return f.name == name })
		if at < 0 {
			d.unknown(path, key, known)
			return
		}
		if value == nil {
			return
		}
		given[name] = true
		d.value(join(path, name), value, into.Field(known[at].index), known[at], depth+1)
	})
	if n.Kind != yaml.MappingNode {
		return
	}
	for _, f := range known {
		if f.required && !given[f.name] {
			d.problem(path, n, fmt.Sprintf("key %q is missing", f.name), "")
		}
	}
}

func (d *decoder) unknown(path string, key *yaml.Node, known []field) {
	names := make([]string, len(known))
	for i, f := range known {
		names[i] = f.name
	}
	message := fmt.Sprintf("unknown key %q", key.Value)
	if near := nearest(key.Value, names); near != "" {
		message += fmt.Sprintf("; did you mean %q?", near)
		d.problem(path, key, message, "")
		return
	}
	slices.Sort(names)
	d.problem(path, key, message, "known keys: "+strings.Join(names, ", "))
}

func (d *decoder) table(path string, n *yaml.Node, into reflect.Value, depth int) {
	t := into.Type()
	result := reflect.MakeMap(t)
	d.pairs(path, n, func(name string, key, value *yaml.Node) {
		element := made(t.Elem())
		if value == nil {
			d.problem(join(path, name), key, "a value is missing", "")
			return
		}
		d.value(join(path, name), value, element, field{}, depth+1)
		result.SetMapIndex(reflect.ValueOf(name).Convert(t.Key()), element)
	})
	into.Set(result)
}

func (d *decoder) list(path string, n *yaml.Node, into reflect.Value, f field, depth int) {
	t := into.Type()
	if f.single && n.Kind != yaml.SequenceNode {
		element := made(t.Elem())
		d.value(path, n, element, field{}, depth+1)
		into.Set(reflect.Append(reflect.MakeSlice(t, 0, 1), element))
		return
	}
	if n.Kind != yaml.SequenceNode || n.ShortTag() != seqTag {
		d.mismatch(path, n, "a list")
		return
	}
	result := reflect.MakeSlice(t, 0, len(n.Content))
	for i, content := range n.Content {
		at := fmt.Sprintf("%s[%d]", path, i)
		element := made(t.Elem())
		if isNull(content) {
			d.problem(at, content, "a value is missing", "")
			continue
		}
		d.value(at, content, element, field{}, depth+1)
		result = reflect.Append(result, element)
	}
	into.Set(result)
}

func (d *decoder) text(path string, n *yaml.Node, into reflect.Value) {
	if n.Kind != yaml.ScalarNode || !plain(n) {
		d.mismatch(path, n, "one value")
		return
	}
	hook := into.Addr().Interface().(encoding.TextUnmarshaler)
	if err := hook.UnmarshalText([]byte(n.Value)); err != nil {
		d.problem(path, n, err.Error(), "")
	}
}

func (d *decoder) duration(path string, n *yaml.Node, into reflect.Value) {
	if n.Kind != yaml.ScalarNode || !plain(n) || n.ShortTag() == boolTag {
		d.mismatch(path, n, "a duration such as 30m, 24h or 28d")
		return
	}
	length, err := ParseDuration(n.Value)
	if err != nil {
		d.problem(path, n, err.Error(), "")
		return
	}
	into.SetInt(int64(length))
}

// plain reports whether a scalar is of one of YAML's own types.
func plain(n *yaml.Node) bool {
	switch n.ShortTag() {
	case stringTag, intTag, floatTag, boolTag, timeTag:
		return true
	}
	return false
}

func (d *decoder) scalar(path string, n *yaml.Node, into reflect.Value) {
	tag := n.ShortTag()
	switch kind := into.Kind(); kind {
	case reflect.String:
		if n.Kind != yaml.ScalarNode || tag != stringTag && tag != timeTag {
			d.mismatch(path, n, "text")
			return
		}
		into.SetString(n.Value)
	case reflect.Bool:
		on := n.Value == "true" || n.Value == "True" || n.Value == "TRUE"
		if n.Kind != yaml.ScalarNode || tag != boolTag {
			d.mismatch(path, n, "true or false")
			return
		}
		into.SetBool(on)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		if n.Kind != yaml.ScalarNode || tag != intTag {
			d.mismatch(path, n, "a whole number")
			return
		}
		d.integer(path, n, into)
	case reflect.Float32, reflect.Float64:
		if n.Kind != yaml.ScalarNode || tag != intTag && tag != floatTag {
			d.mismatch(path, n, "a number")
			return
		}
		d.float(path, n, into)
	default:
		panic(fmt.Sprintf("strictyaml: %s: fields of type %v are not supported", path, into.Type()))
	}
}

func (d *decoder) integer(path string, n *yaml.Node, into reflect.Value) {
	digits := strings.ReplaceAll(n.Value, "_", "")
	if bare := strings.TrimLeft(digits, "+-"); len(bare) > 1 && bare[0] == '0' && bare[1] >= '0' &&
		bare[1] <= '9' {
		d.problem(path, n, fmt.Sprintf("%s begins with a zero, which some readers take for octal",
			n.Value), "write it without the zero")
		return
	}
	var err error
	if into.CanInt() {
		var v int64
		if v, err = strconv.ParseInt(digits, 0, into.Type().Bits()); err == nil {
			into.SetInt(v)
		}
	} else {
		var v uint64
		digits := strings.TrimPrefix(digits, "+")
		if v, err = strconv.ParseUint(digits, 0, into.Type().Bits()); err == nil {
			into.SetUint(v)
		}
	}
	switch {
	case err == nil:
	case errors.Is(err, strconv.ErrRange):
		d.problem(path, n, fmt.Sprintf("%s does not fit into %v", n.Value, into.Kind()), "")
	case into.CanUint() && strings.HasPrefix(digits, "-"):
		d.problem(path, n, fmt.Sprintf("%s is below 0", n.Value), "")
	default:
		d.mismatch(path, n, "a whole number")
	}
}

func (d *decoder) float(path string, n *yaml.Node, into reflect.Value) {
	v, err := strconv.ParseFloat(strings.ReplaceAll(n.Value, "_", ""), into.Type().Bits())
	if err != nil { // .inf and .nan among them: no setting means them
		d.mismatch(path, n, "a number")
		return
	}
	into.SetFloat(v)
}

// mismatch reports that a node is of another type than its field.
func (d *decoder) mismatch(path string, n *yaml.Node, want string) {
	hint := ""
	switch n.ShortTag() {
	case intTag, floatTag, boolTag:
		if want == "text" {
			hint = fmt.Sprintf("write %q", n.Value)
		}
	case stringTag:
		switch word := strings.ToLower(n.Value); {
		case want != "true or false":
		case word == "yes" || word == "on":
			hint = "write true"
		case word == "no" || word == "off":
			hint = "write false"
		}
	}
	d.problem(path, n, "expected "+want+", got "+describe(n), hint)
}

// describe names what a node is, for people.
func describe(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "keys and values"
	case yaml.SequenceNode:
		return "a list"
	}
	const longest = 40
	shown := n.Value
	if len(shown) > longest {
		shown = strings.ToValidUTF8(shown[:longest], "") + "..."
	}
	switch n.ShortTag() {
	case stringTag:
		return fmt.Sprintf("the text %q", shown)
	case intTag, floatTag:
		return "the number " + shown
	case boolTag:
		return shown
	case timeTag:
		return "the time " + shown
	}
	return fmt.Sprintf("%s with the tag %s", shown, n.Tag)
}

// join appends a key to a path. Keys that would make it ambiguous are quoted.
func join(path, key string) string {
	if strings.ContainsAny(key, ".[]\"\n") || key == "" {
		return path + "[" + strconv.Quote(key) + "]"
	}
	if path == "" {
		return key
	}
	return path + "." + key
}

// Keys yields the keys of a struct, which is given as a value, and the index of each's field.
func Keys(of any) iter.Seq2[string, int] {
	return func(yield func(string, int) bool) {
		for _, f := range fields(reflect.TypeOf(of)) {
			if !yield(f.name, f.index) {
				return
			}
		}
	}
}
