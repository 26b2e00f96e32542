package match

import (
	"bytes"
	"cmp"
	"flag"
	"math"
	"os"
	"slices"
	"strings"
	"testing"
)

var rewrite = flag.Bool("rewrite", false, "write contact.yaml anew")

// teachers are what the shipped model is the mean of: contacts with households and companies, many
// people of one name, and large companies.
func teachers(t *testing.T) []Model {
	var models []Model
	for _, c := range []*town{
		reachable(101, 8000), reachable(102, 8000), namesakes(103, 4000), colleagues(104, 4000),
	} {
		models = append(models, run(t, setOf(t, c.columns, c.rows...), defaults()).Learnt())
	}
	return models
}

// reachable are made-up contacts as far as the shipped model knows them.
func reachable(seed uint64, rows int) *town {
	c, p := newTown(seed, "first_name|last_name|email|phone|company"), newPeople(seed, rows)
	for _, r := range p.rows {
		c.rows = append(c.rows, strings.Join([]string{r[1], r[2], r[3], r[4], r[9]}, "|"))
	}
	c.entity = p.entity
	return c
}

// meanModel is the mean of models, by kinds: arithmetic of m and of bits, geometric of u.
func meanModel(models []Model) Model {
	mean := Model{Name: ContactModelName, Prior: 1e-5, Comparisons: map[string][]Level{}}
	columns := map[Kind]string{
		GivenName: "first_name", FamilyName: "last_name", EmailKind: "email", Phone: "phone",
		Company: "company",
	}
	kinds := map[string]string{BothNames: BothNames}
	for kind, column := range columns {
		kinds[column] = string(kind)
		levels := defaultLevels()[kind]
		for i := range levels {
			m, u, n := 0.0, 0.0, 0.0
			for _, model := range models {
				if learnt, ok := model.Comparisons[column]; ok {
					m, u, n = m+learnt[i].M, u+math.Log2(learnt[i].U), n+1
				}
			}
			levels[i].M, levels[i].U = asWritten(m/n), asWritten(math.Exp2(u/n))
		}
		mean.Comparisons[string(kind)] = levels
	}
	bits := map[Lift]float64{}
	for _, model := range models {
		for _, l := range model.Together {
			key := Lift{Given: kinds[l.Given], Alike: l.Alike, Column: kinds[l.Column], Level: l.Level}
			bits[key] += l.Bits / float64(len(models))
		}
	}
	for key, b := range bits {
		const least = 0.5 // less is noise
		if key.Bits = asWritten(b); b >= least {
			mean.Together = append(mean.Together, key)
		}
	}
	sortLifts(mean.Together)
	return mean
}

// TestContactModel holds that the shipped model is what its teachers teach; -rewrite writes it.
func TestContactModel(t *testing.T) {
	want := meanModel(teachers(t)).YAML()
	if *rewrite {
		if err := os.WriteFile("contact.yaml", want, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if !bytes.Equal(contactModel, want) {
		t.Error("contact.yaml is not what is learnt: go test ./resolve/match -run ContactModel -rewrite")
	}
}

// TestContactModelAsItIs holds the quality of the shipped model on contacts that it has not seen.
func TestContactModelAsItIs(t *testing.T) {
	for _, c := range []*town{reachable(105, 3000), namesakes(106, 3000), colleagues(107, 3000)} {
		o := defaults()
		o.Model, o.Threshold = ContactModel(), 0.95 // as records that come one by one are judged
		r, err := setOf(t, c.columns, c.rows...).Stream(o)
		if err != nil {
			t.Fatal(err)
		}
		q := r.Judge(c.entity, o.Threshold).Clusters
		t.Logf("precision %.3f, recall %.3f", q.Precision(), q.Recall())
		if q.Precision() < 0.9 || q.Recall() < 0.65 {
			t.Errorf("clusters: %+v", q)
		}
	}
}

// sortLifts puts lifts into the order of a file.
func sortLifts(lifts []Lift) {
	slices.SortFunc(lifts, func(a, b Lift) int {
		alike := 0
		if a.Alike != b.Alike {
			alike = 1
			if b.Alike {
				alike = -1
			}
		}
		return cmp.Or(cmp.Compare(a.Given, b.Given), alike, cmp.Compare(a.Column, b.Column),
			cmp.Compare(a.Level, b.Level))
	})
}
