package match

import "testing"

// TestVerdicts holds that each verdict is in accord with the clusters, and says through whom.
func TestVerdicts(t *testing.T) {
	const rows = 5000
	p := newPeople(7, rows)
	r := run(t, p.set(inOrder(rows)), defaults())
	seen := map[Verdict]int{}
	for _, pair := range r.Pairs {
		e := r.Explain(pair.A, pair.B)
		seen[e.Verdict]++
		together := r.Cluster[pair.A] == r.Cluster[pair.B]
		switch e.Verdict {
		case Matched, Joined:
			if !together || pair.Refused != "" {
				t.Errorf("%+v: %s", pair, e.Decision)
			}
		case Refused:
			a := e.Against
			if together || pair.Refused == "" || a == nil || a.Weight > e.Weight ||
				r.Cluster[a.A] != r.Cluster[pair.A] || r.Cluster[a.B] != r.Cluster[pair.B] {
				t.Errorf("%+v: %s, against %+v", pair, e.Decision, a)
			}
		case NearMiss:
			if together {
				t.Errorf("%+v: %s", pair, e.Decision)
			}
		default:
			t.Errorf("%+v: %s", pair, e.Decision)
		}
		if (e.Verdict == Joined) != (len(e.Through) > 0) {
			t.Errorf("%s through %v", e.Verdict, e.Through)
		}
		for _, at := range e.Through {
			if r.Cluster[at] != r.Cluster[pair.A] || at == pair.A || at == pair.B {
				t.Errorf("%+v: through %v", pair, e.Through)
			}
		}
	}
	for _, v := range []Verdict{Matched, Joined, Refused, NearMiss} {
		if seen[v] == 0 {
			t.Errorf("of %d pairs none is %q: %v", len(r.Pairs), v, seen)
		}
	}
}

// TestVetoIsSaid holds that a pair that only a veto keeps apart says so.
func TestVetoIsSaid(t *testing.T) {
	e := Explanation{Weight: vetoWeight, Lines: []Line{
		{Column: Column{Name: "email", Kind: EmailKind}, Total: 9},
		{Level: levelVeto, Weight: vetoWeight - 9, Total: vetoWeight, Note: "the names differ"},
	}}
	outcome{options: defaults(), compared: true}.decide(&e)
	if e.Verdict != NoMatch || e.Decision != "no match, whatever else they share: the names differ" {
		t.Errorf("%s: %s", e.Verdict, e.Decision)
	}
	e.Lines[0].Total = -1
	outcome{options: defaults(), compared: true}.decide(&e)
	if e.Decision != "no match" {
		t.Errorf("a pair that is unlike as it is: %s", e.Decision)
	}
}
