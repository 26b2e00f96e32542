package match

import "slices"

// Degree is how alike two texts are at least. The levels behind it are those of the model, so that
// it says how often one person's texts are so alike, and how often two persons'.
type Degree string

// The degrees. Exact is not among them: that is the same key.
const (
	// Close is what a slip of the keyboard makes, or a short form of a given name.
	Close Degree = "close"
	// Alike is what one person may still have written, with a part left out, say.
	Alike Degree = "alike"
)

// degrees is by kind the last level that is close, and the last that is alike.
func degrees() map[Kind][2]string {
	return map[Kind][2]string{
		GivenName:  {"close", "alike"},
		FamilyName: {"close", "alike"},
		EmailKind:  {"at most two edits", "alike"},
		Phone:      {"same but for the country code", "one edit"},
		Company:    {"close", "alike"},
	}
}

// last is the last level of a kind that is of a degree.
func (d Degree) last(kind Kind) int {
	names := degrees()[kind]
	name := names[0]
	if d == Alike {
		name = names[1]
	}
	return exactLevel + slices.IndexFunc(defaultLevels()[kind], func(l Level) bool {
		return l.Name == name
	})
}

// Shares says how often two records of one person, and of two, are so alike where both have a
// value.
func (m Model) Shares(kind Kind, d Degree) (one, two float64) {
	for _, l := range m.levels(Column{Kind: kind})[:d.last(kind)] {
		one, two = one+l.M, two+l.U
	}
	return one, two
}

// Texts compares texts by themselves. It is for one goroutine.
type Texts struct {
	comparer *comparer
	last     map[Kind][2]int // by kind, the last levels that are close and alike
}

// NewTexts makes what compares texts.
func NewTexts() *Texts {
	t := &Texts{
		comparer: &comparer{records: &records{names: newShortForms()}}, last: map[Kind][2]int{},
	}
	for kind := range degrees() {
		t.last[kind] = [2]int{Close.last(kind), Alike.last(kind)}
	}
	return t
}

// Alike reports whether two texts of a kind are alike to a degree. A text that says nothing is
// like none.
func (t *Texts) Alike(kind Kind, d Degree, a, b string) bool {
	n := normaliser{kind: kind}
	x, _ := n.of(a)
	y, _ := n.of(b)
	if x.text == "" || y.text == "" {
		return false
	}
	last := t.last[kind][0]
	if d == Alike {
		last = t.last[kind][1]
	}
	return x.text == y.text || t.comparer.level(kind, &x, &y) <= last
}
