package report

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"crumbtrail/resolve/match"
)

// people are 40 people, each twice, some with another given name or address, and one file or two.
func people(t *testing.T, linked bool) Input {
	t.Helper()
	set := match.NewSet([]string{"first_name", "last_name", "email", "phone", "id", "dob"})
	given := []string{"robert", "edith", "thomas", "agnes", "william", "clara"}
	family := []string{"marlow", "tolland", "ferrier", "quayle", "brisco", "hathersage", "nunn"}
	in := Input{Name: "<b>.csv", Threshold: 0.5, Review: 0.1, Files: []int{80}}
	for i := range 80 {
		n := i % 40
		row := []string{
			given[n%6], family[n%7] + string(rune('a'+n%26)), "", fmt.Sprintf("+44 20 79%02d %04d", n,
				1000+n*37), fmt.Sprint("x", i), fmt.Sprintf("19%02d-%02d-11", 40+n, 1+n%12),
		}
		row[2] = fmt.Sprintf("%s%d@mail.example", row[1], n*7)
		file := uint8(0)
		if i >= 40 {
			row[n%3] = ""
			if linked {
				file, in.Files = 1, []int{40, 40}
			}
		}
		if err := set.Add(row, file); err != nil {
			t.Fatal(err)
		}
		in.Entity = append(in.Entity, fmt.Sprint(n))
	}
	var err error
	in.Result, err = set.Run(match.Options{
		Model: match.DefaultModel(), Threshold: in.Threshold, Review: in.Review,
	})
	if err != nil {
		t.Fatal(err)
	}
	return in
}

func page(t *testing.T, in Input) string {
	t.Helper()
	var b strings.Builder
	if err := Write(&b, in); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestPage holds that each part is there and true to the result.
func TestPage(t *testing.T) {
	in := people(t, false)
	in.Asked = [][2]int{{0, 40}, {1, 2}}
	text := page(t, in)
	for _, want := range []string{
		"Duplicates in <span class=\"name\">&lt;b&gt;.csv", "80 rows are 40 different ones: 40 repeat",
		"80 × 79 ÷ 2 = <b>3,160</b>", "About <b>40</b>", "1 in 79", "Rows 1 and 41", "Rows 2 and 3",
		"Almost certainly one person: ", "used: 0.5", "Pairs in each bin", "its name says so",
		"its name says that it numbers rows", "100%",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q", want)
		}
	}
	if text != page(t, in) {
		t.Error("the same input gave another page")
	}
	in.Entity = nil
	text = page(t, in)
	if strings.Contains(text, "recall") || !strings.Contains(text, "were no merge refused") {
		t.Error("without the truth the page tells of recall, or not of how many pairs there are")
	}
	if text = page(t, people(t, true)); !strings.Contains(text, "40 × 40 = <b>1,600</b>") {
		t.Error("the pairs of two files are not those across them")
	}
}

// TestPageIsPrivate holds that rows' values are on the page only where asked, and that it loads
// nothing.
func TestPageIsPrivate(t *testing.T) {
	in := people(t, false)
	in.Asked = [][2]int{{0, 40}}
	secret := regexp.MustCompile(`robert|marlowa|@mail\.example|44207900`)
	text := page(t, in)
	if found := secret.FindString(text); found != "" {
		t.Errorf("%q is on the page", found)
	}
	outside := regexp.MustCompile(`<script|<link|<img|<iframe|@import|url\(|https?:`)
	if found := outside.FindString(text); found != "" {
		t.Errorf("the page has %q", found)
	}
	in.Values = true
	if text = page(t, in); !secret.MatchString(text) || !strings.Contains(text, "personal data") {
		t.Error("values were asked for, and the page has none, or does not warn")
	}
}

// TestPageIsAccessible holds that drawings have a text or are hidden, columns a head, and that the
// links lead somewhere.
func TestPageIsAccessible(t *testing.T) {
	doc, err := html.Parse(strings.NewReader(page(t, people(t, false))))
	if err != nil {
		t.Fatal(err)
	}
	ids, links := map[string]bool{}, []string{}
	drawings, tables := 0, 0
	for n := range doc.Descendants() {
		at := map[string]string{}
		for _, a := range n.Attr {
			at[a.Key] = a.Val
		}
		ids[at["id"]] = true
		switch n.Data {
		case "a":
			links = append(links, strings.TrimPrefix(at["href"], "#"))
		case "svg":
			inside := n.Parent.Data == "svg" || n.Parent.Data == "g"
			if drawings++; !inside && at["aria-label"] == "" && at["aria-hidden"] != "true" {
				t.Errorf("a drawing says nothing: %v", n.Attr)
			}
		case "table":
			tables++
		case "th":
			if at["scope"] == "" {
				t.Errorf("a head is of nothing: %v", n.Attr)
			}
		}
	}
	if drawings < 20 || tables < 8 {
		t.Errorf("%d drawings, %d tables", drawings, tables)
	}
	for _, to := range links {
		if !ids[to] {
			t.Errorf("a link leads to %q", to)
		}
	}
}

func TestNumbers(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{number(0), "0"},
		{number(999), "999"},
		{number(1234567), "1,234,567"},
		{number(-1234), "-1,234"},
		{short(999), "999"},
		{short(1000), "1k"},
		{short(1249), "1.2k"},
		{short(48_300), "48k"},
		{short(999_700), "1M"},
		{short(3_100_000_000), "3.1bn"},
		{percent(0), "0%"},
		{percent(1), "100%"},
		{percent(0.99999), ">99.9%"},
		{percent(0.0001), "<0.1%"},
		{percent(0.954), "95.4%"},
		{oneIn(0.5), "50.0%"},
		{oneIn(1.0 / 250), "1 in 250"},
		{oneIn(1e-6), "1 in 1M"},
		{signed(-7.96), "−8.0"},
		{signed(-0.01), "0.0"},
		{signed(math.Inf(-1)), "−∞"},
		{probability(0.999999), ">0.9999"},
		{probability(1e-9), "<0.0001"},
		{probability(0.9987), "0.9987"},
		{probability(0.501), "0.501"},
	} {
		if c.got != c.want {
			t.Errorf("%s, want %s", c.got, c.want)
		}
	}
	low, high := interval(0.5, 100)
	if fmt.Sprintf("%.3f %.3f", low, high) != "0.404 0.596" {
		t.Errorf("%v to %v", low, high)
	}
	values, end := steps(1929)
	if fmt.Sprint(values, end) != "[0 500 1000 1500 2000] 2000" {
		t.Errorf("%v to %v", values, end)
	}
}

// TestCalibrations holds that the picture is well-formed and that all its plots are within it.
func TestCalibrations(t *testing.T) {
	in := people(t, false)
	bins := in.Result.Judge(in.Entity, in.Threshold).Bins
	var b strings.Builder
	sets := []Calibration{{"a<b", bins}, {"b", bins}, {"c", nil}, {"d", bins}}
	if err := WriteCalibrations(&b, sets); err != nil {
		t.Fatal(err)
	}
	decoder, texts, groups := xml.NewDecoder(strings.NewReader(b.String())), "", 0
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		switch token := token.(type) {
		case xml.CharData:
			texts += string(token)
		case xml.StartElement:
			if token.Name.Local == "g" && len(token.Attr) > 0 {
				groups++
			}
		}
	}
	if !strings.Contains(texts, "a<b") || groups != len(sets) ||
		!strings.Contains(b.String(), `viewBox="0 0 894 672"`) {
		t.Errorf("%d plots in %s", groups, b.String())
	}
}

// TestPageOfLittle holds that a page can be made of two records, of thresholds that nothing or
// everything reaches, and of records that came one by one.
func TestPageOfLittle(t *testing.T) {
	for _, threshold := range []float64{0, 0.5, 1} {
		for _, stream := range []bool{false, true} {
			set := match.NewSet([]string{"name", "email", "nothing"})
			for _, row := range [][]string{
				{"ada king", "ada@mail.example", ""}, {"bob", "bob@mail.example", ""},
			} {
				if err := set.Add(row, 0); err != nil {
					t.Fatal(err)
				}
			}
			o := match.Options{
				Model: match.DefaultModel(), Threshold: threshold, Review: min(threshold, 0.1),
			}
			r, err := set.Run(o)
			if err == nil && stream {
				o.Model = r.Learnt()
				r, err = set.Stream(o)
			}
			if err != nil {
				t.Fatal(err)
			}
			text := page(t, Input{
				Name: "two", Result: r, Files: []int{2}, Threshold: threshold, Review: o.Review,
				Entity: []string{"a", "b"}, Asked: [][2]int{{0, 1}},
			})
			if strings.Contains(text, "NaN") || strings.Contains(text, "Inf") ||
				!strings.Contains(text, "Rows 1 and 2") || !strings.Contains(text, "name (family)") {
				t.Errorf("threshold %v, one by one %v: %s", threshold, stream, text)
			}
		}
	}
}
