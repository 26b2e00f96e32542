package match

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// town makes records up and whose each is.
type town struct {
	*rand.Rand
	columns string
	rows    []string
	entity  []string
	people  int
	taken   map[string]bool
}

func newTown(seed uint64, columns string) *town {
	return &town{Rand: rand.New(rand.NewPCG(seed, 3)), columns: columns, taken: map[string]bool{}}
}

// person adds the records of one, their fields separated by |.
func (c *town) person(rows ...string) {
	c.people++
	for _, row := range rows {
		c.rows, c.entity = append(c.rows, row), append(c.entity, fmt.Sprint(c.people))
	}
}

// address is one that nobody else has.
func (c *town) address(user, host string) string {
	for n := 0; ; n++ {
		address := fmt.Sprintf("%s%d@%s", user, c.IntN(1000)+n, host)
		if !c.taken[address] {
			c.taken[address] = true
			return address
		}
	}
}

func (c *town) phone() string { return fmt.Sprintf("+44 20 %08d", c.IntN(100_000_000)) }

func (c *town) judge(t *testing.T) Judgement {
	t.Helper()
	j := run(t, setOf(t, c.columns, c.rows...), defaults()).Judge(c.entity, DefaultThreshold)
	t.Logf("pairs %+v, clusters %+v", j.Default, j.Clusters)
	return j
}

const (
	fewGiven = "ada alan anna carl dora emil eva fritz greta hans ida jan karl lea max nora otto " +
		"paul rosa tim"
	fewFamily = "adler bauer braun ernst fuchs gross hahn jung keller lang meier neumann otto " +
		"peters roth sauer thomas ulrich vogel wagner"
)

// namesakes are many people of few names, whose e-mail addresses are made of the name.
func namesakes(seed uint64, rows int) *town {
	c := newTown(seed, "first_name|last_name|email|phone")
	given, family := strings.Fields(fewGiven), strings.Fields(fewFamily)
	for len(c.rows) < rows {
		a, b := given[c.IntN(len(given))], family[c.IntN(len(family))]
		record := a + "|" + b + "|" + c.address(a+"."+b, "mail.example") + "|"
		rows := []string{record + c.phone()}
		if c.IntN(5) == 0 {
			rows = append(rows, record+c.phone())
		}
		c.person(rows...)
	}
	return c
}

// TestNamesakes holds that many people of one name are not one because their e-mail addresses are
// alike; and that the same address makes two records one.
func TestNamesakes(t *testing.T) {
	j := namesakes(1, 5000).judge(t)
	if j.Clusters.Precision() < 0.98 || j.Clusters.Recall() < 0.98 {
		t.Errorf("clusters: precision %.3f, recall %.3f", j.Clusters.Precision(), j.Clusters.Recall())
	}
}

// TestNobodyTwice holds that where nobody is there twice nobody is found twice.
func TestNobodyTwice(t *testing.T) {
	for _, rows := range []int{500, 3000} {
		c := newTown(2, "first_name|last_name|email|phone")
		given, family := strings.Fields(fewGiven), strings.Fields(fewFamily)
		for len(c.rows) < rows {
			a, b := given[c.IntN(len(given))], family[c.IntN(len(family))]
			c.person(a + "|" + b + "|" + c.address(a+b, "mail.example") + "|" + c.phone())
		}
		if j := c.judge(t); j.Clusters.Found > rows/100 {
			t.Errorf("of %d people %d pairs are found to be one", rows, j.Clusters.Found)
		}
	}
}

// colleagues work together, with one switchboard, one mailbox and one form of e-mail address.
func colleagues(seed uint64, rows int) *town {
	c := newTown(seed, "first_name|last_name|email|phone|company")
	given, family := strings.Fields(fewGiven), strings.Fields(fewFamily)
	for firm := 0; len(c.rows) < rows; firm++ {
		name := fmt.Sprintf("%s %s", family[c.IntN(len(family))], given[c.IntN(len(given))])
		host := fmt.Sprintf("firm%d.example", firm)
		board := c.phone()
		for range 1 + c.IntN(30) {
			a, b := given[c.IntN(len(given))], family[c.IntN(len(family))]
			email := a + "." + b + "@" + host
			if c.taken[email] {
				continue
			}
			c.taken[email] = true
			if c.IntN(10) == 0 {
				email = "info@" + host
			}
			record := a + "|" + b + "|" + email + "|"
			rows := []string{record + board + "|" + name}
			if c.IntN(5) == 0 {
				rows = append(rows, record+c.phone()+"|"+name)
			}
			c.person(rows...)
		}
	}
	return c
}

// TestColleagues holds that who works together is not one.
func TestColleagues(t *testing.T) {
	j := colleagues(3, 4000).judge(t)
	if j.Clusters.Precision() < 0.93 || j.Clusters.Recall() < 0.9 {
		t.Errorf("clusters: precision %.3f, recall %.3f", j.Clusters.Precision(), j.Clusters.Recall())
	}
}

// TestMoves holds that a street, a town and a postcode that differ at once tell hardly more than
// one of them: who moves changes all.
func TestMoves(t *testing.T) {
	p := newPeople(8, 5000)
	r := run(t, p.set(inOrder(len(p.rows))), defaults())
	places, none := map[Kind]float64{}, [maxComparisons]bool{}
	for _, pair := range r.Pairs[:1000] {
		if r.weights.of(r.comparer.compare(r.place[pair.A], r.place[pair.B])).moved == none {
			continue
		}
		for _, l := range r.Explain(pair.A, pair.B).Lines {
			if l.Level == "other" && l.Column.Kind.place() && l.Note != "" {
				places[l.Column.Kind] = l.Weight
			}
		}
	}
	whole := r.weights.levels[len(r.weights.levels)-2]
	if alone := whole[len(whole)-1].Weight(); alone > -1.5 {
		t.Fatalf("another town alone weighs %.2f", alone)
	}
	if len(places) == 0 {
		t.Fatal("no two addresses differ as a whole")
	}
	for kind, weight := range places {
		if weight < -1 {
			t.Errorf("another %s, too, weighs %.2f", kind, weight)
		}
	}
}

// TestOrderOfAll holds that shuffled rows give the same clusters and the same model to the last
// digit, where not all pairs are looked at.
func TestOrderOfAll(t *testing.T) {
	namesakes := newTown(5, "first_name|last_name|email|phone|company|date_of_birth")
	given, family := strings.Fields(fewGiven), strings.Fields(fewFamily)
	for len(namesakes.rows) < 2500 { // more pairs of a name than are looked at
		a, b := given[namesakes.IntN(4)], family[namesakes.IntN(5)]
		record := fmt.Sprintf("%s|%s|%s|%%s|%s|%%s", a, b, namesakes.address(a+b, "mail.example"),
			family[namesakes.IntN(9)])
		rows := []string{fmt.Sprintf(record, namesakes.phone(), "1970-02-03")}
		if namesakes.IntN(3) == 0 {
			rows = append(rows, fmt.Sprintf(record, "", "1970-02-05"), fmt.Sprintf(record, "", ""))
		}
		namesakes.person(rows...)
	}
	order := inOrder(len(namesakes.rows))
	var want []int
	var model string
	for seed := range uint64(3) {
		rows := make([]string, len(order))
		for at, from := range order {
			rows[at] = namesakes.rows[from]
		}
		r := run(t, setOf(t, namesakes.columns, rows...), defaults())
		got, learnt := partition(r, order), string(r.Learnt().YAML())
		if want == nil {
			want, model = got, learnt
		}
		if !slices.Equal(got, want) || learnt != model {
			t.Errorf("seed %d: the clusters are the same: %v, the model is: %v", seed,
				slices.Equal(got, want), learnt == model)
		}
		rand.New(rand.NewPCG(seed, 7)).Shuffle(len(order), func(i, j int) {
			order[i], order[j] = order[j], order[i]
		})
	}
}
