package schemas_test

import (
	"bytes"
	"path/filepath"
	"regexp"
	"testing"

	"crumbtrail/schemas"

	"github.com/bufbuild/protocompile"
	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/testing/protocmp"
	"pgregory.net/rapid"
)

// sources are the .proto files, as imports name them.
func sources(t *testing.T) []string {
	t.Helper()
	paths, err := filepath.Glob("crumbtrail/v1/*.proto")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no .proto files: %v", err)
	}
	return paths
}

// generated is the descriptor in the generated code of a .proto file.
func generated(t *testing.T, path string) protoreflect.FileDescriptor {
	t.Helper()
	file, err := protoregistry.GlobalFiles.FindFileByPath(path)
	if err != nil {
		t.Fatalf("%s: %v: run go generate ./schemas", path, err)
	}
	return file
}

func TestGeneratedCodeIsCurrent(t *testing.T) {
	compiler := protocompile.Compiler{
		Resolver: protocompile.WithStandardImports(&protocompile.SourceResolver{}),
	}
	paths := sources(t)
	files, err := compiler.Compile(t.Context(), paths...)
	if err != nil {
		t.Fatal(err)
	}
	for i, path := range paths {
		want := protodesc.ToFileDescriptorProto(files[i])
		got := protodesc.ToFileDescriptorProto(generated(t, path))
		if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
			t.Errorf("%s has changed, run go generate ./schemas (-source +generated):\n%s",
				path, diff)
		}
	}
}

// vtMessage is a message with the fast methods.
type vtMessage interface {
	proto.Message
	MarshalVT() ([]byte, error)
	UnmarshalVT([]byte) error
	SizeVT() int
}

// The fast methods are generated apart from the descriptors: with every field of every message
// set, both ways of encoding must understand each other.
func TestFastMethodsAreCurrent(t *testing.T) {
	messages := 0
	for _, path := range sources(t) {
		list := generated(t, path).Messages()
		for i := range list.Len() {
			kind, err := protoregistry.GlobalTypes.FindMessageByName(list.Get(i).FullName())
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range filled(kind, 2) {
				messages++
				checkFastMethods(t, kind, m)
			}
		}
	}
	if messages < 20 {
		t.Errorf("only %d messages were tried", messages)
	}
}

func checkFastMethods(t *testing.T, kind protoreflect.MessageType, m protoreflect.Message) {
	t.Helper()
	name := kind.Descriptor().FullName()
	full, ok := m.Interface().(vtMessage)
	if !ok {
		t.Errorf("%s has no fast methods", name)
		return
	}
	fast, err := full.MarshalVT()
	if err != nil || len(fast) != full.SizeVT() {
		t.Errorf("%s: %d bytes of %d, %v", name, len(fast), full.SizeVT(), err)
	}
	read := kind.New().Interface()
	if err := proto.Unmarshal(fast, read); err != nil {
		t.Errorf("%s: %v", name, err)
	}
	if diff := cmp.Diff(m.Interface(), read, protocmp.Transform()); diff != "" {
		t.Errorf("%s, fast to standard:\n%s", name, diff)
	}
	standard, err := proto.Marshal(full)
	if err != nil {
		t.Fatal(err)
	}
	read = kind.New().Interface()
	if err := read.(vtMessage).UnmarshalVT(standard); err != nil {
		t.Errorf("%s: %v", name, err)
	}
	if diff := cmp.Diff(m.Interface(), read, protocmp.Transform()); diff != "" {
		t.Errorf("%s, standard to fast:\n%s", name, diff)
	}
}

// filled returns a message with every field set, nested to some depth; one for each choice of a
// oneof.
func filled(kind protoreflect.MessageType, depth int) []protoreflect.Message {
	var choices []protoreflect.FieldDescriptor
	base := kind.New()
	fields := kind.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		if f.ContainingOneof() != nil && !f.ContainingOneof().IsSynthetic() {
			choices = append(choices, f)
			continue
		}
		set(base, f, depth)
	}
	if len(choices) == 0 {
		return []protoreflect.Message{base}
	}
	var all []protoreflect.Message
	for _, f := range choices {
		m := proto.Clone(base.Interface()).ProtoReflect()
		set(m, f, depth)
		all = append(all, m)
	}
	return all
}

func set(m protoreflect.Message, f protoreflect.FieldDescriptor, depth int) {
	switch {
	case f.IsMap():
		entries := m.Mutable(f).Map()
		value := entries.NewValue()
		if f.MapValue().Message() == nil {
			value = scalar(f.MapValue())
		}
		entries.Set(scalar(f.MapKey()).MapKey(), value)
	case f.Message() != nil && depth == 0:
	case f.IsList() && f.Message() != nil:
		element := m.Mutable(f).List().AppendMutable().Message()
		proto.Merge(element.Interface(), filled(element.Type(), depth-1)[0].Interface())
	case f.IsList():
		list := m.Mutable(f).List()
		list.Append(scalar(f))
		list.Append(scalar(f))
	case f.Message() != nil:
		inner := m.Mutable(f).Message()
		proto.Merge(inner.Interface(), filled(inner.Type(), depth-1)[0].Interface())
	default:
		m.Set(f, scalar(f))
	}
}

// scalar is a value that is not the field's default.
func scalar(f protoreflect.FieldDescriptor) protoreflect.Value {
	switch f.Kind() {
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(true)
	case protoreflect.StringKind:
		return protoreflect.ValueOfString("crumb é")
	case protoreflect.BytesKind:
		return protoreflect.ValueOfBytes([]byte{0, 0xff})
	case protoreflect.EnumKind:
		return protoreflect.ValueOfEnum(1)
	case protoreflect.DoubleKind:
		return protoreflect.ValueOfFloat64(-1.5)
	case protoreflect.FloatKind:
		return protoreflect.ValueOfFloat32(-1.5)
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind:
		return protoreflect.ValueOfInt32(-7)
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		return protoreflect.ValueOfUint32(1 << 31)
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		return protoreflect.ValueOfUint64(1 << 63)
	default:
		return protoreflect.ValueOfInt64(-1 << 62)
	}
}

// Kafka takes letters, digits, dot, underscore and hyphen, but counts with dot and underscore as
// one and the same in the names of its metrics.
func TestTopics(t *testing.T) {
	legal := regexp.MustCompile(`^[a-z]+([.-][a-z]+)*$`)
	seen := map[schemas.Topic]bool{}
	for _, spec := range schemas.Topics() {
		if !legal.MatchString(string(spec.Topic)) || seen[spec.Topic] {
			t.Errorf("topic %q: a bad name, or there twice", spec.Topic)
		}
		seen[spec.Topic] = true
		if spec.Clocked && spec.Compacted {
			t.Errorf("topic %q: compaction would lose the ticks that its clock needs", spec.Topic)
		}
	}
	if !seen[schemas.Beacons] || !seen[schemas.BadBeacons] || !seen[schemas.Visits] {
		t.Errorf("topics are missing: %v", seen)
	}
}

func TestVisitorKeyRoundTrip(t *testing.T) {
	part := rapid.StringMatching(`[^\x00]*`)
	rapid.Check(t, func(t *rapid.T) {
		site := schemas.Site(part.Draw(t, "site"))
		visitor := schemas.VisitorID(part.Draw(t, "visitor"))
		gotSite, gotVisitor, ok := schemas.SplitVisitorKey(schemas.VisitorKey(site, visitor))
		if !ok || gotSite != site || gotVisitor != visitor {
			t.Fatalf("got %q %q %v", gotSite, gotVisitor, ok)
		}
		// A counted beacon's key is no visitor's.
		event := part.Filter(func(s string) bool { return s != "" }).Draw(t, "event")
		if bytes.Equal(schemas.CountedKey(site, event), schemas.VisitorKey(site, visitor)) {
			t.Fatalf("event %q has the key of visitor %q", event, visitor)
		}
	})
	if _, _, ok := schemas.SplitVisitorKey([]byte("acme")); ok {
		t.Error("a key without a zero byte was split")
	}
}

func TestEnumNamesRoundTrip(t *testing.T) {
	for v := range schemas.BeaconType_name {
		kind := schemas.BeaconType(v)
		parsed, ok := schemas.ParseBeaconType(kind.Name())
		if parsed != kind || ok != (v != 0) {
			t.Errorf("%v is named %q, which is %v %v", kind, kind.Name(), parsed, ok)
		}
	}
	for v := range schemas.Consent_name {
		mode := schemas.Consent(v)
		parsed, ok := schemas.ParseConsent(mode.Name())
		if parsed != mode || ok != (v != 0) {
			t.Errorf("%v is named %q, which is %v %v", mode, mode.Name(), parsed, ok)
		}
	}
	for _, name := range []string{"", "unspecified", "Page_View", "PAGE_VIEW", "page view"} {
		if kind, ok := schemas.ParseBeaconType(name); ok {
			t.Errorf("%q is taken for %v", name, kind)
		}
	}
}

func TestNames(t *testing.T) {
	// Computed once and for all: whoever changes this gives every event a second identity.
	const want = "efa582ae-130f-5f47-8f98-3e97bd602478"
	events := schemas.NewNames("event")
	if got := events.ID([]byte("acme\x001\x00line")); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	space := uuid.NewSHA1(uuid.NameSpaceURL, []byte("urn:crumbtrail:event"))
	if got := uuid.NewSHA1(space, []byte("acme\x001\x00line")).String(); got != want {
		t.Errorf("by the documentation it would be %s", got)
	}
	if schemas.NewNames("visit").ID(nil) == events.ID(nil) {
		t.Error("two kinds share their ids")
	}
	if id := uuid.MustParse(schemas.NewID()); id.Version() != 7 {
		t.Errorf("%v is no UUIDv7", id)
	}
}

// The schemas of the edge are valid, find each other, and refuse what they should.
func TestEdgeSchemas(t *testing.T) {
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	names := []string{"beacon", "batch", "submission"}
	for _, name := range names {
		text, err := schemas.EdgeSchema(name)
		if err != nil {
			t.Fatal(err)
		}
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := compiler.AddResource("urn:crumbtrail:"+name, doc); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	compiled := map[string]*jsonschema.Schema{}
	for _, name := range names {
		compiled[name] = compiler.MustCompile("urn:crumbtrail:" + name)
	}
	const beacon = `{"site":"acme","type":"ping"}`
	for _, tc := range []struct {
		schema, doc string
		valid       bool
	}{
		{"beacon", beacon, true},
		{"beacon", `{"site":"acme"}`, false},
		{"batch", beacon, true},
		{"batch", `[` + beacon + `,` + beacon + `]`, true},
		{"batch", `{"sent_at":"2026-01-01T00:00:00Z","beacons":[` + beacon + `]}`, true},
		{"batch", `{"sent_at":"2026-01-01","beacons":[]}`, false},
		{"batch", `{"beacons":[{"site":"acme"}]}`, false},
		{"batch", `{"beacons":{}}`, false},
		{"batch", `{"site":"acme"}`, false},
		{"batch", `7`, false},
		{"submission", `{"email":"ann@example.com","age":7,"tags":["a"]}`, true},
		{"submission", `"email=ann@example.com"`, false},
		{"submission", `[]`, false},
	} {
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader([]byte(tc.doc)))
		if err != nil {
			t.Fatal(err)
		}
		if err := compiled[tc.schema].Validate(doc); (err == nil) != tc.valid {
			t.Errorf("%s %s: %v", tc.schema, tc.doc, err)
		}
	}
	if _, err := schemas.EdgeSchema("visit"); err == nil {
		t.Error("there is a schema of visits, which pass no edge")
	}
}
