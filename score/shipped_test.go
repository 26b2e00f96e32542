package score

import (
	"fmt"
	"strings"
	"testing"

	"crumbtrail/internal/duck"
)

func TestBestLeadsSayWhy(t *testing.T) {
	l := newLake(t)
	statements := []string{
		"CREATE TABLE contacts (contact_id VARCHAR, email VARCHAR, first_name VARCHAR, " +
			"last_name VARCHAR, company VARCHAR)",
		"INSERT INTO contacts VALUES ('c1', 'ada@acme.example', 'Ada', NULL, 'Acme')",
		"CREATE TABLE scores (model VARCHAR, version BIGINT, subject_type VARCHAR, " +
			"subject_id VARCHAR, as_of TIMESTAMPTZ, score DECIMAL(9,2), grade VARCHAR, " +
			"sales_ready BOOLEAN)",
		"INSERT INTO scores SELECT 'm', 1, 'contact', id, make_timestamptz(0), score, grade, false " +
			"FROM (VALUES ('c1', 42, 'warm'), ('c2', 50.25, 'hot'), ('c3', 0, 'cold'), " +
			"('c4', 23.29, 'warm'), ('c5', 0.01, 'cold'), ('c6', 0.02, 'cold')) " +
			"AS r(id, score, grade)",
		"CREATE TABLE score_explanations (model VARCHAR, version BIGINT, subject_type VARCHAR, " +
			"subject_id VARCHAR, as_of TIMESTAMPTZ, rule VARCHAR, event_id VARCHAR, " +
			"points DECIMAL(18,6))",
		"INSERT INTO score_explanations SELECT 'm', 1, 'contact', id, make_timestamptz(0), rule, " +
			"'e', points FROM (VALUES ('c1', 'page-view', 1.5), ('c1', 'page-view', 1.5), " +
			"('c1', 'pricing', 60), ('c1', 'silent', -10), ('c1', 'clip:rule:pricing', -10), " +
			"('c1', 'clip:score', -1), ('c2', 'form', 50.254), ('c2', 'round', -0.004), " +
			"('c4', 'a', 23.199), ('c4', 'b', 0.045), ('c4', 'c', 0.046), ('c5', 'a', 0.004), " +
			"('c5', 'b', 0.004), ('c5', 'round', 0.002)) " +
			"AS r(id, rule, points)",
	}
	if err := duck.Build(t.Context(), l.path, statements); err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	q := Lake{Child: l.child, Database: l.path}
	err := q.Query(t.Context(), BestLeads(), func(values []any) error {
		_, err := fmt.Fprintln(&b, values...)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	want := "m 50.25 hot false c2 <nil> <nil> 1 × form +50.25\n" +
		"m 42.00 warm false ada@acme.example Ada Acme " +
		"1 × pricing +60.00, 1 × silent -10.00, 2 × page-view +3.00, caps -11.00\n" +
		"m 23.29 warm false c4 <nil> <nil> 1 × a +23.20, 1 × b +0.05, 1 × c +0.05, rounding -0.01\n" +
		"m 0.02 cold false c6 <nil> <nil> <nil>\n" +
		"m 0.01 cold false c5 <nil> <nil> rounding +0.01\n"
	if got := b.String(); got != want {
		t.Errorf("got\n%snot\n%s", got, want)
	}
}
