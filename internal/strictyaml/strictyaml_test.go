package strictyaml

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/cockroachdb/datadriven"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// shop is a document with every kind of field.
type shop struct {
	Name    string            `yaml:"name,required"`
	Open    bool              `yaml:"open"`
	Floors  int8              `yaml:"floors"`
	Staff   uint              `yaml:"staff"`
	Rating  float64           `yaml:"rating"`
	Idle    time.Duration     `yaml:"idle"`
	Colour  colour            `yaml:"colour"`
	Days    []string          `yaml:"days,single"`
	Shelves []shelf           `yaml:"shelves"`
	Labels  map[string]string `yaml:"labels"`
	Owner   *owner            `yaml:"owner"`
	Cached  string            `yaml:"-"`
	MaxAge  int               // its key is max_age
}

type shelf struct {
	ID     string `yaml:"id,required"`
	Height int    `yaml:"height"`
}

func (s *shelf) SetDefaults() { s.Height = 200 }

type owner struct {
	Name string `yaml:"name"`
	Next *owner `yaml:"next"`
}

type colour string

func (c *colour) UnmarshalText(text []byte) error {
	*c = colour(text)
	return OneOf(string(text), "red", "green", "dark_blue")
}

// TestStories decodes documents into a shop. Commands: decode prints the value or every problem,
// position prints where the paths of its argument stand.
func TestStories(t *testing.T) {
	datadriven.RunTest(t, "testdata/decode.txt", func(t *testing.T, d *datadriven.TestData) string {
		s := shop{Idle: time.Minute, Labels: map[string]string{"kept": "yes"}}
		doc, problems := Decode("shop.yaml", []byte(d.Input), &s)
		if len(problems) > 0 {
			return problems.Error() + "\n"
		}
		switch d.Cmd {
		case "position":
			var b strings.Builder
			for _, arg := range d.CmdArgs {
				line, column := doc.Position(arg.Key)
				fmt.Fprintf(&b, "%s %d:%d given=%v\n", arg.Key, line, column, doc.Has(arg.Key))
			}
			return b.String()
		default:
			var b strings.Builder
			fmt.Fprintf(&b, "name=%q open=%v floors=%d staff=%d rating=%v idle=%v colour=%s\n",
				s.Name, s.Open, s.Floors, s.Staff, s.Rating, FormatDuration(s.Idle), s.Colour)
			fmt.Fprintf(&b, "days=%q shelves=%v labels=%v max_age=%d\n",
				s.Days, s.Shelves, s.Labels, s.MaxAge)
			for o := s.Owner; o != nil; o = o.Next {
				fmt.Fprintf(&b, "owner=%q\n", o.Name)
			}
			return b.String()
		}
	})
}

func TestProblemsAreNoErrorWhenThereAreNone(t *testing.T) {
	_, problems := Decode("x", []byte("name: a"), &shop{})
	if err := problems.Err(); err != nil {
		t.Errorf("Err() = %v, want nil", err)
	}
}

// A document whose aliases would make a billion values is refused, once.
func TestAliasBomb(t *testing.T) {
	type bomb struct {
		Levels []nested `yaml:"levels"`
	}
	var b strings.Builder
	b.WriteString("levels:\n  - &l0 {in: []}\n")
	for i := 1; i < 30; i++ {
		fmt.Fprintf(&b, "  - &l%d {in: [*l%d, *l%d, *l%d]}\n", i, i-1, i-1, i-1)
	}
	_, problems := Decode("bomb.yaml", []byte(b.String()), &bomb{})
	if len(problems) != 1 || !strings.Contains(problems[0].Message, "200000 values") {
		t.Fatalf("problems = %v, want one about too many values", problems)
	}
}

type nested struct {
	In []nested `yaml:"in"`
}

func TestDurations(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"0": 0, "0s": 0, "30m": 30 * time.Minute, "28d": 28 * 86400 * time.Second,
		"2w": 14 * 86400 * time.Second, "1h30m": 90 * time.Minute, "1.5s": 1500 * time.Millisecond,
		"-10d": -10 * 86400 * time.Second, "250ms": 250 * time.Millisecond, "5us": 5000,
	} {
		got, err := ParseDuration(text)
		if err != nil || got != want {
			t.Errorf("ParseDuration(%q) = %v, %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{
		"", "-", "m", "30", "30 m", "30M", "1m1h", "1m1m", "1..5s", "1month", "9999999w", "+3s", ".s",
	} {
		if got, err := ParseDuration(text); err == nil {
			t.Errorf("ParseDuration(%q) = %v, want an error", text, got)
		}
	}
}

func TestDurationsRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		// A double carries whole nanoseconds up to 104 days; settings are seldom finer than that.
		d := time.Duration(rapid.Int64Range(-9e15/1000, 9e15/1000).Draw(t, "us")) * time.Microsecond
		got, err := ParseDuration(FormatDuration(d))
		if err != nil || got.Round(time.Microsecond) != d {
			t.Fatalf("%v as %q reads as %v, %v", int64(d), FormatDuration(d), int64(got), err)
		}
	})
}

func TestSnake(t *testing.T) {
	for name, want := range map[string]string{
		"Gap": "gap", "MaxAge": "max_age", "URLBytes": "url_bytes", "SiteID": "site_id",
		"IPv6": "i_pv6", "P99": "p99",
	} {
		if got := snake(name); got != want {
			t.Errorf("snake(%q) = %q, want %q", name, got, want)
		}
	}
}

func TestNearest(t *testing.T) {
	names := []string{"origins", "gap", "grace", "max_visit", "time_zone"}
	for got, want := range map[string]string{
		"origin": "origins", "orgins": "origins", "oirgins": "origins", "Gap": "gap",
		"max-visit": "max_visit", "timezone": "time_zone", "colour": "", "g": "",
	} {
		if near := nearest(got, names); near != want {
			t.Errorf("nearest(%q) = %q, want %q", got, near, want)
		}
	}
}

// What encoding/json writes and reads, the decoder reads to the same value.
func TestJSONIsYAML(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.String().Draw(t, "name")
		var text strings.Builder
		text.WriteString(`{"name": "`)
		for _, unit := range utf16.Encode([]rune(want)) {
			fmt.Fprintf(&text, "\\u%04x", unit)
		}
		text.WriteString("\", \"labels\": {\"a\\\\ud83d\": \"\\/\\\"\"}}")
		if !json.Valid([]byte(text.String())) {
			t.Fatalf("%s is no JSON", text.String())
		}
		var got shop
		_, problems := Decode("x.json", []byte(text.String()), &got)
		if len(problems) > 0 || got.Name != want || got.Labels[`a\ud83d`] != `/"` {
			t.Fatalf("%s\nreads as %q %q, %v", text.String(), got.Name, got.Labels, problems)
		}
	})
}

// FuzzDecode holds that decoding ends without a panic, that each problem names a place in the
// file, and that a document without problems decodes to the same value again.
func FuzzDecode(f *testing.F) {
	f.Add("name: a\nshelves: [{id: x}]\n")
	f.Add("{\"name\": \"a\", \"idle\": \"30m\", \"owner\": {\"next\": {\"name\": null}}}")
	f.Add("a: &a [*a]\n---\n<<: {b: 1}\n? [x]\n: !!binary aGk=\n")
	f.Add("name: 010\nfloors: 1e9\nrating: .inf\nidle: 1d1w\n")
	f.Fuzz(func(t *testing.T, text string) {
		lines := 2 + strings.Count(text, "\n") + strings.Count(text, "\r") +
			strings.Count(text, "\u0085") + strings.Count(text, "\u2028") + strings.Count(text, "\u2029")
		var first, second shop
		_, problems := Decode("fuzz.yaml", []byte(text), &first)
		for _, p := range problems {
			if p.Message == "" || p.Line < 1 || p.Line > lines {
				t.Errorf("problem %+v of %d lines", p, lines)
			}
		}
		if len(problems) > 0 {
			return
		}
		if _, problems := Decode("fuzz.yaml", []byte(text), &second); len(problems) > 0 {
			t.Errorf("second time: %v", problems)
		}
		if diff := cmp.Diff(first, second); diff != "" {
			t.Errorf("two decodings differ:\n%s", diff)
		}
	})
}
