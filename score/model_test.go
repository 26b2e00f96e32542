package score

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const plainModel = `
model: m
version: 3
subject: contact
score: {max: 10}
rules:
  - {id: a, on: [ping, page_view], points: 1.50, window: 1d, where: "url='x'"}
  - {id: b, when: "email is not null", points: 2}
`

// sameModel says what plainModel does, in other words.
const sameModel = `{"version": 3, "model": "m", "subject": "contact", "timezone": "UTC",
"score": {"min": 0, "max": 10.00}, "rules": [
{"id": "a", "on": ["page_view", "ping"], "window": "24h", "points": 1.5, "every": 1,
 "at_least": 1, "once": false, "where": "(URL = 'x')"},
{"id": "b", "points": 2, "when": "\"email\" IS NOT NULL"}]}`

func parse(t *testing.T, content string) *Model {
	t.Helper()
	m, err := ParseModel("model.yaml", []byte(content))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestCanonicalFormIsOfWhatAModelSays(t *testing.T) {
	want := `{"model":"m","version":3,"subject":"contact","timezone":"UTC",` +
		`"score":{"min":0,"max":10000000},"groups":[{"name":""}],"rules":[` +
		`{"id":"a","group":"","points":1500000,"on":["page_view","ping"],` +
		`"where":"(\"url\" = 'x')","window":86400000000,"at_least":1,"every":1},` +
		`{"id":"b","group":"","points":2000000,"when":"(\"email\" IS NOT NULL)"}]}`
	a, b := parse(t, plainModel), parse(t, sameModel)
	if diff := cmp.Diff(want, string(a.Canonical())); diff != "" {
		t.Error(diff)
	}
	if a.SHA256() != b.SHA256() || len(a.SHA256()) != 64 {
		t.Errorf("%s and %s for models that say the same", a.SHA256(), b.SHA256())
	}
	b.Rules[1].Points++
	if a.SHA256() == b.SHA256() {
		t.Error("another model has the same hash")
	}
}

func TestDefaultModelIsValid(t *testing.T) {
	m := Default()
	if m.Name != "web-engagement" || m.Subject != Contact || len(m.Grades) != 3 {
		t.Errorf("got %s", m.Canonical())
	}
}

func TestPoints(t *testing.T) {
	for in, want := range map[string]string{
		"10": "10", "-2.50": "-2.5", "+1": "1", "0.000001": "0.000001", ".5": "0.5", "-0": "0",
		"999999999.999999": "999999999.999999",
	} {
		p, err := parsePoints(in)
		if err != nil || p.String() != want {
			t.Errorf("%s: %s, %v, not %s", in, p, err, want)
		}
	}
	for _, in := range []string{"", ".", "-", "1e2", "0x1", "1.0000001", "1000000000", "--1", "1_0"} {
		if p, err := parsePoints(in); err == nil {
			t.Errorf("%q is %s", in, p)
		}
	}
}

// FuzzModel: a model that is accepted compiles.
func FuzzModel(f *testing.F) {
	f.Add([]byte(plainModel))
	f.Add([]byte(sameModel))
	f.Add(engagementModel)
	f.Fuzz(func(t *testing.T, content []byte) {
		m, err := ParseModel("model.yaml", content)
		if err != nil {
			return
		}
		if _, err := SQL(m, time.UnixMicro(0), Part{Of: 1}); err != nil {
			t.Fatal(err)
		}
		m.SHA256()
	})
}
