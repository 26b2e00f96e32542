package match

import (
	"math/bits"
	"strings"
	"unicode"
)

// A comparison puts two records, in one column, on a level: nullLevel where one of them says
// nothing, exactLevel where they agree, then ever less alike, and at last the level "other".
const (
	nullLevel  = 0
	exactLevel = 1
)

// vector holds the levels of a pair, four bits for each comparison.
type vector uint64

func (v vector) level(c int) int { return int(v >> (4 * c) & 15) }

func (v vector) without(c int) vector { return v &^ (15 << (4 * c)) }

func (v vector) with(c, level int) vector { return v | vector(level)<<(4*c) }

// comparer compares pairs of records.
type comparer struct {
	*records
	lines  lines
	caches []levelCache
}

func newComparer(r *records, o Options) *comparer {
	c := &comparer{records: r, caches: make([]levelCache, len(r.columns))}
	for i := range c.caches {
		c.caches[i] = make(levelCache, cacheSize)
	}
	c.lines = newLines(r.columns)
	c.lines.add(r, o)
	return c
}

// another compares the same records at the same time.
func (c *comparer) another() *comparer {
	other := *c
	other.caches = make([]levelCache, len(c.caches))
	for i := range other.caches {
		other.caches[i] = make(levelCache, cacheSize)
	}
	return &other
}

// levelCache remembers the levels of pairs of values. A newer pair takes an older one's place.
type levelCache []cachedLevel

type cachedLevel struct {
	pair  uint64
	level uint8
}

const cacheSize = 1 << 15

// compare returns the levels of a pair.
func (c *comparer) compare(i, j uint32) vector {
	var v vector
	x, y := c.lines.of(i), c.lines.of(j)
	for k, col := range c.columns {
		a, b := idIn(x, k), idIn(y, k)
		switch {
		case a == 0 || b == 0:
		case a == b:
			v = v.with(k, c.exact(col, i, j, a))
		default:
			if level := c.lines.unlike(k, x, y); level != nullLevel {
				v = v.with(k, level)
				continue
			}
			v = v.with(k, c.cached(k, col, a, b))
			if col.Kind == EmailKind {
				v = c.emailOfName(v, k, i, j)
			}
		}
	}
	if c.given >= 0 && c.family >= 0 && v.level(c.given) >= givenAlike &&
		v.level(c.family) >= familyAlike && c.lines.maySwap(c.given, c.family, x, y) &&
		c.swapped(i, j) {
		v = v.without(c.given).without(c.family).with(c.given, givenSwapped)
	}
	return v
}

// exact is the level of two equal values: a mailbox of several people is nobody's own.
func (c *comparer) exact(col *column, i, j, id uint32) int {
	if col.values[id].role {
		return emailRole
	}
	return exactLevel
}

// swapped reports whether the given name of each is the family name of the other, or close to it.
func (c *comparer) swapped(i, j uint32) bool {
	given, family := c.columns[c.given], c.columns[c.family]
	return c.crossed(&given.values[given.rows[i]], &family.values[family.rows[j]]) &&
		c.crossed(&given.values[given.rows[j]], &family.values[family.rows[i]])
}

func (c *comparer) crossed(given, family *value) bool {
	if given.text == "" || family.text == "" || given.text[0] != family.text[0] {
		return false
	}
	return given.text == family.text || givenLevel(c.names, given, family) <= givenClose
}

func (c *comparer) cached(k int, col *column, a, b uint32) int {
	if a > b {
		a, b = b, a
	}
	pair := uint64(a)<<32 | uint64(b)
	at := &c.caches[k][pair*0x9e3779b97f4a7c15>>49]
	if at.pair != pair {
		x, y := &col.values[a], &col.values[b]
		if x.hash > y.hash { // not every level is the same from both sides, and ids are of arrival
			x, y = y, x
		}
		at.pair, at.level = pair, uint8(c.level(col.Kind, x, y))
	}
	return int(at.level)
}

// The levels that code names, by kind. Those between are in levelsOf.
const (
	givenSwapped = 2
	givenShort   = 3
	givenClose   = 4
	givenPart    = 5
	givenAlike   = 6
	givenOther   = 7

	familyAlike = 4

	dateTwoParts = 4
	dateSameYear = 6
	dateDecade   = 7
	dateOther    = 8

	codeOther = 4

	emailRole      = 2
	emailUser      = 3
	emailClose     = 4
	emailUserName  = 5 // the same user part, made of the name
	emailCloseName = 6
	emailAlike     = 7
	emailAlikeName = 8
	emailOther     = 9
)

// level compares two different values.
func (c *comparer) level(kind Kind, a, b *value) int {
	switch kind {
	case GivenName:
		return givenLevel(c.names, a, b)
	case FamilyName:
		return familyLevel(a, b)
	case Date:
		return dateLevel(a, b)
	case EmailKind:
		return emailLevel(a, b)
	case Phone:
		switch {
		case a.part == b.part:
			return 2
		case edits(a.part, b.part, 1) <= 1:
			return 3
		}
		return 4
	case Postcode:
		switch {
		case near(a, b, 1):
			return 2
		case area(a.text) == area(b.text):
			return 3
		}
		return 4
	case Code:
		if most := fewEdits(a, b); near(a, b, most) {
			return 1 + edits(a.text, b.text, most)
		}
		return codeOther
	case Category:
		return 2
	}
	return textLevel(a, b)
}

// alike is the similarity of Jaro and Winkler, or 0 where it is below least: the characters that
// only one of two texts has often say so at once.
func alike(a, b *value, least float64) float64 {
	common := float64(min(int(a.length)-bits.OnesCount64(a.letters&^b.letters),
		int(b.length)-bits.OnesCount64(b.letters&^a.letters)))
	most := (common/float64(a.length) + common/float64(b.length) + 1) / 3
	if most+0.4*(1-most) < least {
		return 0
	}
	return jaroWinkler(a.text, b.text)
}

// near reports whether two texts are at most so many edits apart.
func near(a, b *value, most int) bool {
	return bits.OnesCount64(a.letters&^b.letters) <= most &&
		bits.OnesCount64(b.letters&^a.letters) <= most && edits(a.text, b.text, most) <= most
}

// fewEdits is how many edits may be an error: one in four characters of what tells most, and at
// most two.
func fewEdits(a, b *value) int {
	length := min(len(a.part), len(b.part))
	if length == 0 {
		length = int(min(a.length, b.length))
	}
	return min(2, length/4)
}

func givenLevel(names shortForms, a, b *value) int {
	similarity := alike(a, b, 0.8)
	switch {
	case names.same(a.part, b.part):
		return givenShort
	case similarity >= 0.92:
		return givenClose
	case partOf(a.text, b.text), initialOf(a.text, b.text), initialOf(b.text, a.text):
		return givenPart
	case similarity >= 0.8:
		return givenAlike
	}
	return givenOther
}

func familyLevel(a, b *value) int {
	const (
		close = iota + 2
		part
		likely
		other
	)
	similarity := alike(a, b, 0.8)
	switch {
	case similarity >= 0.92:
		return close
	case partOf(a.text, b.text):
		return part
	case similarity >= 0.8:
		return likely
	}
	return other
}

// partOf reports whether the words of one text are all in the other.
func partOf(a, b string) bool {
	if len(a) > len(b) {
		a, b = b, a
	}
	if len(a) < 2 || len(a) == len(b) {
		return false
	}
	for word := range strings.FieldsSeq(a) {
		if !hasWord(b, word) {
			return false
		}
	}
	return true
}

func hasWord(text, word string) bool {
	for at := 0; ; {
		k := strings.Index(text[at:], word)
		if k < 0 {
			return false
		}
		from, to := at+k, at+k+len(word)
		if (from == 0 || text[from-1] == ' ') && (to == len(text) || text[to] == ' ') {
			return true
		}
		at = to
	}
}

// initialOf reports whether a is only the first letter of b.
func initialOf(a, b string) bool {
	return len(a) == 1 && strings.HasPrefix(b, a)
}

func dateLevel(a, b *value) int {
	const (
		oneEdit = iota + 2
		dayMonth
		_
		twoEdits
	)
	if near(a, b, 1) {
		return oneEdit
	}
	x, y := a.day, b.day
	known := x.known() && y.known()
	same := 0
	for _, equal := range []bool{x.year == y.year, x.month == y.month, x.day == y.day} {
		if equal {
			same++
		}
	}
	years := int(x.year) - int(y.year)
	switch {
	case known && x.year == y.year && x.month == y.day && x.day == y.month:
		return dayMonth
	case known && same == 2:
		return dateTwoParts
	case near(a, b, 2):
		return twoEdits
	case known && years == 0:
		return dateSameYear
	case known && years >= -10 && years <= 10:
		return dateDecade
	}
	return dateOther
}

func emailLevel(a, b *value) int {
	if a.part != "" && a.part == b.part {
		return emailUser
	}
	if near(a, b, fewEdits(a, b)) {
		return emailClose
	}
	// Many have the same host: the user parts must be alike, too.
	if alike(a, b, 0.88) >= 0.88 && (a.part == "" || b.part == "" ||
		jaroWinkler(a.part, b.part) >= 0.8) {
		return emailAlike
	}
	return emailOther
}

// emailOfName moves a likeness of two addresses to a level of its own where it comes from the
// names: any two people called Ada King may have an ada.king somewhere.
func (c *comparer) emailOfName(v vector, k int, i, j uint32) vector {
	level := v.level(k)
	if level != emailUser && level != emailClose && level != emailAlike {
		return v
	}
	digits := level == emailAlike // with digits, the same or nearly the same is no chance
	if !c.madeOfName(c.columns[k], i, digits) || !c.madeOfName(c.columns[k], j, digits) {
		return v
	}
	switch level {
	case emailUser:
		level = emailUserName
	case emailClose:
		level = emailCloseName
	default:
		level = emailAlikeName
	}
	return v.without(k).with(k, level)
}

// madeOfName reports whether an address's user part has a name of its owner in it, and no digits
// of its own unless they are allowed.
func (c *comparer) madeOfName(emails *column, i uint32, digits bool) bool {
	user := emails.values[emails.rows[i]].part
	if user == "" || !digits && strings.ContainsFunc(user, unicode.IsDigit) {
		return false
	}
	for _, k := range []int{c.given, c.family} {
		if k < 0 {
			continue
		}
		col := c.columns[k]
		if name := col.values[col.rows[i]].part; len(name) > 1 && strings.Contains(user, name) {
			return true
		}
	}
	return false
}

// area is the part of a postcode that stands for a district: what is before the last three
// characters of a British one, the first three of another.
func area(postcode string) string {
	if strings.ContainsFunc(postcode, unicode.IsLetter) && len(postcode) > 4 {
		return postcode[:len(postcode)-3]
	}
	return postcode[:min(3, len(postcode))]
}

func textLevel(a, b *value) int {
	const (
		sameWords = iota + 2
		close
		part
		likely
		other
	)
	shared, all := commonWords(a.text, b.text)
	similarity := alike(a, b, 0.85)
	switch {
	case shared == all:
		return sameWords
	case similarity >= 0.92 && numbersOf(a.text) == numbersOf(b.text):
		return close
	case shared*2 >= all || partOf(a.text, b.text):
		return part
	case similarity >= 0.85:
		return likely
	}
	return other
}

// commonWords counts the words of a that are in b, and the words of the longer text.
func commonWords(a, b string) (shared, all int) {
	words := 0
	for word := range strings.FieldsSeq(a) {
		words++
		if hasWord(b, word) {
			shared++
		}
	}
	return shared, max(words, strings.Count(b, " ")+1)
}

// numbersOf is a sum over the digits of a text that differs where its numbers do.
func numbersOf(text string) (sum uint64) {
	for i := range len(text) {
		if text[i] >= '0' && text[i] <= '9' {
			sum = sum*31 + uint64(text[i])
		}
	}
	return sum
}
