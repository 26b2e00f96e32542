package match

import (
	"math/bits"
	"strings"
)

// lines hold of each record what tells most pairs apart, side by side: the ids of its values, then
// a mark of each. A pair is compared from two or three cache lines of each record; its values are
// looked at where their marks do not say enough.
type lines struct {
	words   []uint64
	width   int // words a record
	columns []lineColumn
	n       int // records
}

// lineColumn is where a column's mark is in a line, and what is in it.
type lineColumn struct {
	at   int
	kind Kind
	// last is the level "other".
	last int
}

func newLines(columns []*column) lines {
	l := lines{width: (len(columns) + 1) / 2}
	all := defaultLevels()
	for _, col := range columns {
		l.columns = append(l.columns, lineColumn{l.width, col.Kind, len(all[col.Kind])})
		l.width += markWidth(col.Kind)
	}
	return l
}

// markWidth is how many words a mark of a kind has.
func markWidth(kind Kind) int {
	switch kind {
	case EmailKind:
		return 3
	case GivenName, FullName, Address, Place, Company, Text:
		return 2
	}
	return 1
}

// add brings the lines up to the records of r, those of a set in the order in which they came: so
// lie the values.
func (l *lines) add(r *records, o Options) {
	n := len(r.columns[0].rows)
	l.words = append(l.words, make([]uint64, (n-l.n)*l.width)...)
	if len(r.order) < n {
		for ; l.n < n; l.n++ {
			l.fill(r, uint32(l.n))
		}
		return
	}
	place := make([]uint32, n)
	for canonical, at := range r.order {
		place[at] = uint32(canonical)
	}
	o.spread(chunks(n), func(_, piece int) {
		from, to := chunkOf(piece, n)
		for _, i := range place[from:to] {
			l.fill(r, i)
		}
	})
	l.n = n
}

func (l *lines) fill(r *records, i uint32) {
	line := l.of(i)
	for k, col := range r.columns {
		id := col.rows[i]
		line[k/2] |= uint64(id) << (32 * (k % 2))
		if id != 0 {
			mark(line[l.columns[k].at:], col.Kind, &col.values[id], r.names)
		}
	}
}

func (l *lines) of(i uint32) []uint64 {
	from := int(i) * l.width
	return l.words[from : from+l.width : from+l.width]
}

// idIn is the value of a line in a column.
func idIn(line []uint64, k int) uint32 { return uint32(line[k/2] >> (32 * (k % 2))) }

// Fields of the mark of a text, from the lowest bit on: its length (the mark is 0 where it is too
// long to be compared), its first four bytes in five bits each, and from bit 32 on a bit for each
// letter in it.
const (
	markLength = 1<<7 - 1
	markStart  = 7
	startBits  = 5
	startMask  = 1<<startBits - 1
	markLetter = 32
	// letterCodes is how many letters are told apart: the 26 have one each.
	letterCodes = 31
)

// Fields of the second mark of a text of words: a bit for each word, how many there are, and from
// bit 32 on a bit for each letter that is in it twice.
const (
	wordBits = 26
	mostWord = 63
)

// mark writes what the columns of a kind have: an e-mail address the mark of its user part, that of
// the whole, and a bit for each character in it; a given name its own and a bit for each group of
// short forms that it is in.
func mark(to []uint64, kind Kind, v *value, names shortForms) {
	switch kind {
	case Date:
		to[0] = dateMark(v)
	case Phone:
		to[0] = countMark(v.part)
	case Postcode:
		to[0] = textMark(v.text)>>markLetter<<markLetter | hashText(area(v.text))>>markLetter
	case Code:
		to[0] = v.letters
	case EmailKind:
		to[0], to[1], to[2] = textMark(v.part), textMark(v.text), v.letters
	case GivenName:
		to[0] = textMark(v.text)
		for _, group := range names[v.part] {
			to[1] |= 1 << (group % 64)
		}
	case FamilyName:
		to[0] = textMark(v.text)
	case FullName, Address, Place, Company, Text:
		to[0], to[1] = textMark(v.text), wordMark(v.text)
	}
}

// textMark is 0 for a text that marks cannot speak of.
func textMark(text string) uint64 {
	length, letters, start := uint64(0), uint64(0), uint64(0)
	for _, r := range text {
		letters |= 1 << (uint64(r) % letterCodes)
		length++
	}
	if length == 0 || length > maxCompared {
		return 0
	}
	for i := range min(4, len(text)) {
		start |= (uint64(text[i])%letterCodes + 1) << (startBits * i)
	}
	return length | start<<markStart | letters<<markLetter
}

func wordMark(text string) uint64 {
	words, set := uint64(0), uint64(0)
	for word := range strings.FieldsSeq(text) {
		words++
		set |= 1 << (hashText(word) % wordBits)
	}
	once, twice := uint64(0), uint64(0)
	for _, r := range text {
		letter := uint64(1) << (uint64(r) % letterCodes)
		twice |= once & letter
		once |= letter
	}
	return set | min(words, mostWord)<<wordBits | twice<<markLetter
}

// countMark counts each digit, to three; 0 is of a text that is not of digits alone.
func countMark(text string) (counts uint64) {
	for i := range len(text) {
		digit := uint64(text[i] - '0')
		if digit > 9 {
			return 0
		}
		if at := 2 * digit; counts>>at&3 == 3 {
			counts &^= 3 << at
		} else {
			counts += 1 << at
		}
	}
	return counts | 1<<(2*10)
}

// dateMark has the eight digits of a day, four bits each, above the counts of its digits.
func dateMark(v *value) uint64 {
	if !v.day.known() || len(v.text) != 8 {
		return 0
	}
	digits := uint64(0)
	for i := range len(v.text) {
		digits = digits<<4 | uint64(v.text[i]-'0')
	}
	return countMark(v.text) | digits<<markLetter
}

// unlike is the level of two different values where their marks tell it, else nullLevel.
func (l *lines) unlike(k int, x, y []uint64) int {
	c := &l.columns[k]
	a, b := x[c.at], y[c.at]
	other := false
	switch c.kind {
	case GivenName:
		other = x[c.at+1]&y[c.at+1] == 0 && apart(a, b) && atMostAlike(a, b, 0, 0) < 0.8
	case FamilyName:
		other = apart(a, b) && atMostAlike(a, b, 0, 0) < 0.8
	case Date:
		return unlikeDates(a, b)
	case EmailKind:
		other = distinct(x[c.at+2], y[c.at+2]) > 2 &&
			(atMostAlike(a, b, 0, 0) < 0.8 ||
				(a == 0 || a != b) && atMostAlike(x[c.at+1], y[c.at+1], 0, 0) < 0.88)
	case Phone:
		other = a != 0 && b != 0 && otherCounts(a, b) > 2
	case Postcode:
		other = distinct(a>>markLetter, b>>markLetter) > 1 && uint32(a) != uint32(b)
	case Code:
		other = distinct(a, b) > 2
	case Category:
		other = true
	case FullName, Address, Place, Company, Text:
		p, q := x[c.at+1], y[c.at+1]
		other = unlikeWords(p, q) && atMostAlike(a, b, p, q) < 0.85
	}
	if other {
		return c.last
	}
	return nullLevel
}

// apart reports that each of two texts has a letter that the other lacks, so that no one is part of
// the other.
func apart(a, b uint64) bool {
	return a>>markLetter&^(b>>markLetter) != 0 && b>>markLetter&^(a>>markLetter) != 0
}

// atMostAlike is what the similarity of Jaro and Winkler is at most. twice has of each text the
// letters that are in it more than once, or nothing.
func atMostAlike(a, b, twiceA, twiceB uint64) float64 {
	if a == 0 || b == 0 {
		return 1
	}
	p, q := int(a&markLength), int(b&markLength)
	common := float64(min(
		p-bits.OnesCount64(a&^b>>markLetter)-bits.OnesCount64(twiceA&^twiceB>>markLetter),
		q-bits.OnesCount64(b&^a>>markLetter)-bits.OnesCount64(twiceB&^twiceA>>markLetter)))
	most := (common/float64(p) + common/float64(q) + 1) / 3
	same := bits.TrailingZeros32(uint32((a^b)>>markStart)|1<<(4*startBits)) / startBits
	return most + float64(same)*0.1*(1-most)
}

// distinct is how many characters one of two texts has and the other lacks, from the side that has
// more of them.
func distinct(a, b uint64) int { return max(bits.OnesCount64(a&^b), bits.OnesCount64(b&^a)) }

// otherCounts is of how many digits two texts have another number. One edit makes at most two.
func otherCounts(a, b uint64) int {
	d := (a ^ b) & (1<<20 - 1)
	return bits.OnesCount64((d | d>>1) & 0x55555)
}

func unlikeDates(a, b uint64) int {
	if a == 0 || b == 0 {
		return nullLevel
	}
	d := (a ^ b) >> markLetter
	places := d | d>>1
	places = (places | places>>2) & 0x11111111
	changed, counts := bits.OnesCount64(places), otherCounts(a, b)
	year, month, day := d>>16, d>>8&0xff, d&0xff
	switch {
	case month == 0 && day == 0, year == 0 && (month == 0 || day == 0):
		if changed > 1 && counts > 0 {
			return dateTwoParts
		}
		return nullLevel
	case changed < 3 || counts < 3:
		return nullLevel // at most two edits apart, or hard to tell
	}
	years := yearOf(a) - yearOf(b)
	switch {
	case years == 0:
		return dateSameYear
	case years >= -10 && years <= 10:
		return dateDecade
	}
	return dateOther
}

func yearOf(mark uint64) int {
	return int(mark>>60)*1000 + int(mark>>56&15)*100 + int(mark>>52&15)*10 + int(mark>>48&15)
}

// unlikeWords reports that fewer than half of the words of two texts are in both, and that neither
// has all those of the other.
func unlikeWords(a, b uint64) bool {
	const set = 1<<wordBits - 1
	onlyA, onlyB := a&^b&set, b&^a&set
	words, others := int(a>>wordBits&mostWord), int(b>>wordBits&mostWord)
	if onlyA == 0 || onlyB == 0 || words == mostWord || others == mostWord {
		return false
	}
	shared := max(words-bits.OnesCount64(onlyA), others-bits.OnesCount64(onlyB))
	return shared*2 < max(words, others)
}

// maySwap reports whether the names of two records may be swapped: each given name begins as the
// other's family name does.
func (l *lines) maySwap(given, family int, x, y []uint64) bool {
	g, f := l.columns[given].at, l.columns[family].at
	begins := func(a, b uint64) bool { return a == 0 || b == 0 || (a^b)>>markStart&startMask == 0 }
	return begins(x[g], y[f]) && begins(y[g], x[f])
}
