package ingest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"crumbtrail/schemas"

	"github.com/cockroachdb/datadriven"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/tidwall/gjson"
)

func TestDecodeStories(t *testing.T) {
	limits := DefaultLimits()
	limits.BatchBeacons = 5
	datadriven.RunTest(t, "testdata/decode.txt", func(t *testing.T, d *datadriven.TestData) string {
		var out strings.Builder
		switch d.Cmd {
		case "decode":
			c, bad := decodeBeacon([]byte(d.Input), limits)
			if bad != nil {
				return fmt.Sprintln(bad)
			}
			tell(&out, c)
		case "batch":
			bad := decodeBatch([]byte(d.Input), limits, func(raw []byte, sentAt time.Time) {
				fmt.Fprintf(&out, "%s", raw)
				if !sentAt.IsZero() {
					fmt.Fprintf(&out, " sent_at=%s", sentAt.Format(time.RFC3339Nano))
				}
				fmt.Fprintln(&out)
			})
			if bad != nil {
				fmt.Fprintln(&out, bad)
			}
		default:
			d.Fatalf(t, "unknown command %s", d.Cmd)
		}
		return out.String()
	})
}

// tell writes what a claim holds, absent things left out.
func tell(out *strings.Builder, c *claim) {
	b := c.beacon
	at := func(us int64) string {
		if us == 0 {
			return ""
		}
		return time.UnixMicro(us).UTC().Format(time.RFC3339Nano)
	}
	for _, f := range []struct{ name, value string }{
		{"id", b.EventId},
		{"site", b.Site},
		{"visitor", c.visitor},
		{"type", b.Type.Name()},
		{"consent", c.consent.Name()},
		{"created_at", at(b.CreatedAtUs)},
		{"sent_at", at(b.SentAtUs)},
		{"received_at", at(c.receivedAt)},
		{"url", b.Url},
		{"referrer", b.Referrer},
		{"title", b.Title},
		{"user_agent", b.UserAgent},
		{"ip", b.Ip},
		{"engaged_ms", strings.TrimPrefix(fmt.Sprint(b.EngagedMs), "0")},
		{"props", string(b.Props)},
		{"form", c.form},
		{"fields", string(c.fields)},
	} {
		if f.value != "" {
			fmt.Fprintf(out, "%s: %s\n", f.name, f.value)
		}
	}
}

func TestDecodeLimits(t *testing.T) {
	limits := DefaultLimits()
	nested := func(depth int) string {
		return `{"site":"a","type":"ping","props":` +
			strings.Repeat(`{"a":`, depth-2) + `{}` + strings.Repeat("}", depth-2) + "}"
	}
	keyed := func(keys int) string {
		var b strings.Builder
		for i := range keys - 3 {
			fmt.Fprintf(&b, `,"k%d":0`, i)
		}
		return `{"site":"a","type":"ping","props":{` + strings.TrimPrefix(b.String(), ",") + `}}`
	}
	sized := func(bytes int) string {
		const frame = `{"site":"a","type":"ping","props":{"a":""}}`
		return strings.Replace(frame, `""`, `"`+strings.Repeat("x", bytes-len(frame))+`"`, 1)
	}
	long := func(member string, characters int) string {
		text := strings.Repeat("é", characters)
		return fmt.Sprintf(`{"site":"a","type":"ping",%q:%q}`, member, text)
	}
	for _, tc := range []struct{ name, within, beyond, reason string }{
		{"depth", nested(limits.Depth), nested(limits.Depth + 1), ReasonTooDeep},
		{"hostile depth", nested(3), strings.Repeat("[", 60_000), ReasonTooDeep},
		{"keys", keyed(limits.Keys), keyed(limits.Keys + 1), ReasonTooManyKeys},
		{"bytes", sized(limits.BeaconBytes), sized(limits.BeaconBytes + 1), ReasonTooLarge},
		{"id", long("id", 128), long("id", 129), ReasonTooLong},
		{"visitor", long("visitor", 256), long("visitor", 257), ReasonTooLong},
		{"title", long("title", 2048), long("title", 2049), ReasonTooLong},
		{"url", long("url", 8192), long("url", 8193), ReasonTooLong},
		{"utf8", long("title", 1), "{\"site\":\"\xff\",\"type\":\"ping\"}", ReasonInvalidUTF8},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if _, bad := decodeBeacon([]byte(tc.within), limits); bad != nil {
				t.Errorf("within the limit: %v", bad)
			}
			_, bad := decodeBeacon([]byte(tc.beyond), limits)
			if bad == nil || bad.Reason != tc.reason {
				t.Errorf("beyond the limit: %v, want %s", bad, tc.reason)
			}
		})
	}
}

// One deep or huge beacon must not sink its batch, but one that could sink the process must.
func TestBatchIsolatesItsBeacons(t *testing.T) {
	limits := DefaultLimits()
	deep := strings.Repeat("[", 500) + strings.Repeat("]", 500)
	body := `[{"site":"a","type":"ping"},` + deep + `,{"site":"a","type":"ping"}]`
	var good, refused int
	bad := decodeBatch([]byte(body), limits, func(raw []byte, _ time.Time) {
		if _, bad := decodeBeacon(raw, limits); bad != nil {
			refused++
		} else {
			good++
		}
	})
	if bad != nil || good != 2 || refused != 1 {
		t.Errorf("got %d good, %d refused, %v", good, refused, bad)
	}
	huge := `{"beacons": [ 1e999 , {"a":"é"} ], "x":1}`
	var parts []string
	bad = decodeBatch([]byte(huge), limits, func(raw []byte, _ time.Time) {
		parts = append(parts, string(raw))
	})
	if want := []string{"1e999", `{"a":"é"}`}; bad != nil || !slices.Equal(parts, want) {
		t.Errorf("got %q, %v, want %q", parts, bad, want)
	}
	bomb := []byte(strings.Repeat("[", 1<<20))
	if bad := decodeBatch(bomb, limits, nil); bad == nil || bad.Reason != ReasonTooDeep {
		t.Errorf("a million brackets: %v", bad)
	}
}

// The stories hold the corpus that the hand-written checks and the schema must agree on.
func corpus(t testing.TB) (beacons [][]byte) {
	file, err := os.ReadFile("testdata/decode.txt")
	if err != nil {
		t.Fatal(err)
	}
	for story := range strings.SplitSeq(string(file), "\ndecode\n") {
		input, _, _ := strings.Cut(story, "\n----")
		if strings.HasPrefix(input, "#") {
			continue
		}
		beacons = append(beacons, []byte(input))
	}
	if len(beacons) < 30 {
		t.Fatalf("only %d beacons in testdata/decode.txt", len(beacons))
	}
	return beacons
}

func TestDecoderAgreesWithSchema(t *testing.T) {
	schema := beaconSchema(t)
	judged := 0
	for _, raw := range corpus(t) {
		if agree(t, schema, raw) {
			judged++
		}
	}
	if judged < 25 {
		t.Errorf("only %d beacons of the corpus are within what a schema can judge", judged)
	}
}

func FuzzDecodeBeacon(f *testing.F) {
	for _, raw := range corpus(f) {
		f.Add(raw)
	}
	schema := beaconSchema(f)
	f.Fuzz(func(t *testing.T, raw []byte) {
		agree(t, schema, raw)
		_ = decodeBatch(raw, DefaultLimits(), func(one []byte, _ time.Time) {
			if !json.Valid(one) || bytes.TrimSpace(one)[0] != one[0] && len(one) != len(raw) {
				t.Errorf("a batch was taken apart into %q", one)
			}
		})
		c, bad := decodeBeacon(raw, DefaultLimits())
		if bad != nil {
			return
		}
		b := c.beacon
		if b.EngagedMs < 0 || b.EngagedMs > maxEngaged {
			t.Errorf("engaged for %d ms", b.EngagedMs)
		}
		if slices.Contains([]byte(b.Site+b.EventId+c.visitor), 0) {
			t.Error("a zero byte in a key")
		}
		for _, object := range [][]byte{b.Props, c.fields} {
			if object != nil && (!json.Valid(object) || object[0] != '{') {
				t.Errorf("no JSON object: %q", object)
			}
		}
		wire, err := b.MarshalVT()
		if err != nil || new(schemas.Beacon).UnmarshalVT(wire) != nil {
			t.Errorf("the beacon does not survive its encoding: %v", err)
		}
	})
}

func beaconSchema(t testing.TB) *jsonschema.Schema {
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	text, err := schemas.EdgeSchema("beacon")
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if err := compiler.AddResource("urn:crumbtrail:beacon", doc); err != nil {
		t.Fatal(err)
	}
	schema, err := compiler.Compile("urn:crumbtrail:beacon")
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

// agree compares the decoder's verdict with the schema's, and where in the document it stands; it
// returns false where the matter is beyond what a schema can say.
func agree(t *testing.T, schema *jsonschema.Schema, raw []byte) bool {
	t.Helper()
	_, bad := decodeBeacon(raw, DefaultLimits())
	if bad != nil {
		switch bad.Reason {
		case ReasonInvalidJSON:
			if json.Valid(raw) {
				t.Errorf("%s: refused as invalid JSON", raw)
			}
			return false
		case ReasonInvalidUTF8, ReasonInvalidUnicode, ReasonTooLarge, ReasonTooDeep,
			ReasonTooManyKeys, ReasonDuplicateKey:
			return false
		}
		if bad.Reason == ReasonInvalidValue && bad.Path == "" {
			return false
		}
	}
	if repeats(raw) {
		return false
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		t.Errorf("%s: decoder says %v, JSON says %v", raw, bad, err)
		return true
	}
	err = schema.Validate(doc)
	if (bad == nil) != (err == nil) {
		t.Errorf("%s: decoder says %v, schema says %v", raw, bad, err)
		return true
	}
	var invalid *jsonschema.ValidationError
	if bad == nil || !errors.As(err, &invalid) {
		return true
	}
	want := bad.Path
	if bad.Reason == ReasonMissingField {
		want = ""
	}
	if places := locations(invalid, nil); !slices.Contains(places, want) {
		t.Errorf("%s: decoder points at %q, schema at %q", raw, bad.Path, places)
	}
	return true
}

// repeats is true of an object with a member twice, of which a schema sees but the last.
func repeats(raw []byte) bool {
	seen, twice := map[string]bool{}, false
	gjson.ParseBytes(raw).ForEach(func(key, _ gjson.Result) bool {
		twice = twice || key.Exists() && seen[key.Str]
		seen[key.Str] = true
		return true
	})
	return twice
}

func locations(e *jsonschema.ValidationError, into []string) []string {
	if len(e.Causes) == 0 {
		place := ""
		for _, step := range e.InstanceLocation {
			place += "/" + step
		}
		return append(into, place)
	}
	for _, cause := range e.Causes {
		into = locations(cause, into)
	}
	return into
}

func BenchmarkDecodeBeacon(b *testing.B) {
	raw := []byte(typicalBeacon)
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		if _, bad := decodeBeacon(raw, DefaultLimits()); bad != nil {
			b.Fatal(bad)
		}
	}
}

// typicalBeacon is what the tracker sends for a page view.
const typicalBeacon = `{"id":"0198d2c4-7a3e-7cc1-b2a1-5f0a9d3e77aa","site":"acme",` +
	`"visitor":"1f0c1d9a7b3e4c58","type":"page_view","created_at":"2026-01-01T00:00:00.000Z",` +
	`"sent_at":"2026-01-01T00:00:00.250Z","received_at":"2026-01-01T00:00:00.300Z",` +
	`"url":"https://acme.example/pricing?utm_source=news&utm_medium=email",` +
	`"referrer":"https://www.google.com/","title":"Pricing","user_agent":"Mozilla/5.0 ` +
	`(Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 ` +
	`Safari/537.36","consent":"identified","props":{"width":1280}}`
