package lake_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"crumbtrail/lake"
)

// TestQueries runs the shipped queries over a story whose numbers were computed by hand.
func TestQueries(t *testing.T) {
	w := newWorld(t)
	var left []string
	datadriven.RunTest(t, "testdata/queries.txt", func(t *testing.T, d *datadriven.TestData) string {
		w.t = t
		if d.Cmd == "put" {
			for line := range strings.Lines(d.Input) {
				w.put(strings.Fields(line))
			}
			w.drain()
			left = lake.QueryNames()
			return ""
		}
		query, err := lake.ShippedQuery(d.Cmd)
		if err != nil {
			t.Fatal(err)
		}
		values := map[string]string{}
		for line := range strings.Lines(d.Input) {
			name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
			values[name] = value
		}
		statement, err := query.Bind(values)
		if err != nil {
			t.Fatal(err)
		}
		left = slices.DeleteFunc(left, func(name string) bool { return name == d.Cmd })
		return w.query(statement, "csv")
	})
	if len(left) > 0 {
		t.Errorf("the story does not ask %s", strings.Join(left, ", "))
	}
}

func TestQueryParameters(t *testing.T) {
	const text = "-- What it is.\n-- More.\n" +
		"-- $a VARCHAR 'x''y': The a.\n-- $b INTEGER NULL: The b.\n" +
		"SELECT $a, $ab, '$a', \"$a\", a$a, $$ $a $$, /* $a */ $b -- $a\n"
	q := lake.ParseQuery(text)
	if q.Doc != "What it is." || q.Definition != "More." || len(q.Parameters) != 2 {
		t.Errorf("got %+v", q)
	}
	bound := func(a, b string) string {
		return "SELECT CAST(" + a + " AS VARCHAR), $ab, '$a', \"$a\", a$a, $$ $a $$, /* $a */ " +
			"CAST(" + b + " AS INTEGER) -- $a"
	}
	for _, c := range []struct {
		set  map[string]string
		want string
	}{
		{nil, bound("'x''y'", "NULL")},
		{map[string]string{"a": "'; $b", "b": "7"}, bound("'''; $b'", "'7'")},
		{map[string]string{"a": ""}, bound("NULL", "NULL")},
	} {
		if got, err := q.Bind(c.set); err != nil || got != c.want {
			t.Errorf("%v: got %s, %v, want %s", c.set, got, err, c.want)
		}
	}
	if _, err := q.Bind(map[string]string{"c": "1"}); err == nil {
		t.Error("a parameter that there is not is taken")
	}
	_, err := lake.ShippedQuery("funel")
	if err == nil || !strings.Contains(err.Error(), `"funnel"?`) {
		t.Errorf("got %v, want the nearest name", err)
	}
}

func TestShippedQueriesSayWhatTheyAre(t *testing.T) {
	for _, name := range lake.QueryNames() {
		q, err := lake.ShippedQuery(name)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasSuffix(q.Doc, ".") || q.Definition == "" {
			t.Errorf("%s: the first line is %q, the definition %q", name, q.Doc, q.Definition)
		}
		if strings.Contains(q.Definition, "$") {
			t.Errorf("%s: a parameter is not understood: %s", name, q.Definition)
		}
		statement, err := q.Bind(nil)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(statement, "$") {
			t.Errorf("%s: a parameter is not declared: %s", name, statement)
		}
	}
}
