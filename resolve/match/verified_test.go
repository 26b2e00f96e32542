package match

import (
	"strings"
	"testing"
)

// TestVerified holds that two different values of a verified column never become one, not through
// a record that has none either, and that an error in one is no conflict.
func TestVerified(t *testing.T) {
	p := newPeople(12, 600)
	columns := "customer_number|first_name|last_name|email|phone"
	var rows []string
	for _, r := range p.rows {
		rows = append(rows, "|"+strings.Join(r[1:5], "|"))
	}
	const ada = "|Ada|King|ada.king1815@post.example|+44 20 7946 0815"
	first := len(rows)
	rows = append(rows, "X-4711-20"+ada, ada, "X-9363-87"+ada, "X-4711-21"+ada)
	o := defaults()
	loose := run(t, setOf(t, columns, rows...), o)
	if loose.Cluster[first+2] != first {
		t.Fatalf("without a verified column: %v", loose.Cluster[first:])
	}
	o.Model.Verified = []string{"customer_number"}
	r := run(t, setOf(t, columns, rows...), o)
	switch c := r.Cluster[first:]; {
	case c[0] == c[2]:
		t.Errorf("two customers are one: %v", c)
	case c[0] != c[3]:
		t.Errorf("an error in the number made two: %v", c)
	case c[1] != c[0] && c[1] != c[2]:
		t.Errorf("the record without a number is alone: %v", c)
	}
	e := r.Explain(first, first+2)
	if last := e.Lines[len(e.Lines)-1]; e.Weight != vetoWeight ||
		last.Note != "customer_number is verified, and differs" {
		t.Errorf("two customers weigh %v: %+v", e.Weight, last)
	}
	refused := 0
	for _, pair := range r.Pairs {
		if pair.B >= first && strings.Contains(pair.Refused, "verified") {
			refused++
		}
	}
	if refused == 0 {
		t.Error("nothing says why the record without a number is not with both")
	}
	o.Model.Verified = []string{"email"}
	if _, err := setOf(t, columns, rows...).Run(o); err == nil ||
		!strings.Contains(err.Error(), "only codes and dates") {
		t.Errorf("a verified e-mail address: %v", err)
	}
}

// TestVerifiedDates holds the same of dates: two edits are a conflict, one is none.
func TestVerifiedDates(t *testing.T) {
	columns := "first_name|last_name|email|date_of_birth"
	p := newPeople(13, 600)
	var rows []string
	for _, r := range p.rows {
		rows = append(rows, strings.Join([]string{r[1], r[2], r[3], r[5]}, "|"))
	}
	const ada = "Ada|King|ada.king1815@post.example|"
	first := len(rows)
	rows = append(rows, ada+"1971-06-24", ada, ada+"1971-08-29", ada+"1971-06-25")
	o := defaults()
	o.Model.Verified = []string{string(Date)}
	c := run(t, setOf(t, columns, rows...), o).Cluster[first:]
	if c[0] == c[2] || c[0] != c[3] {
		t.Errorf("1971-06-24, none, 1971-08-29 and 1971-06-25: %v", c)
	}
}
