package resolve

import (
	"fmt"
	"slices"
	"strings"

	"github.com/cespare/xxhash/v2"

	"crumbtrail/resolve/attribute"
	"crumbtrail/resolve/match"
	"crumbtrail/schemas"
)

// record is what submissions said of a person in one set of words.
type record struct {
	said *schemas.Record
	// words are what was said, as it is compared; role is true where the mailbox is a function's.
	words words
	role  bool
	// last is the ordinal of the last submission that said it.
	last int64
	// contact is the number of the record that its contact has its id from, as it was put out.
	contact uint32
	// version and updatedUs are of the contact that has the record's id; 0: it never had one.
	version   int64
	updatedUs int64
	// erased is true where nothing is left but the number.
	erased bool
}

// words are what makes two records of one contact the same.
type words struct{ email, firstName, lastName, phone, company string }

func wordsOf(a *attributes) words {
	return words{
		a.email.Address, a.firstName.Folded, a.lastName.Folded, a.phone.Number, a.company.Folded,
	}
}

// texts are the words in the order of the columns that the model compares.
func (w words) texts() []string {
	return []string{w.email, w.firstName, w.lastName, w.phone, w.company}
}

func (w words) hash() uint64 { return xxhash.Sum64String(strings.Join(w.texts(), "\x00")) }

// alike counts the words that two have in common; the very same have the most.
func (w words) alike(other words) (count int) {
	o := other.texts()
	if w == other {
		count++
	}
	for i, text := range w.texts() {
		if text != "" && text == o[i] {
			count++
		}
	}
	return count
}

// say puts a submission into the record. Names are written as in the last one; address and number
// as in the first, whose site says how they are read.
func (r *record) say(s *schemas.Submission, a *attributes, ordinal int64) {
	of := r.said
	if of.Submissions == 0 {
		of.Email, of.Phone = attribute.Clean(s.Email), attribute.Clean(s.Phone)
	}
	of.FirstName, of.LastName = attribute.Clean(s.FirstName), attribute.Clean(s.LastName)
	of.Company = attribute.Clean(s.Company)
	r.words, r.role = wordsOf(a), a.email.Role
	r.count(s, ordinal)
}

// count counts a submission whose words are not those of the record.
func (r *record) count(s *schemas.Submission, ordinal int64) {
	of := r.said
	if of.Submissions == 0 {
		of.Site, of.Form = s.Site, s.Form
		of.FirstSubmissionId, of.FirstAtUs = s.SubmissionId, s.ReceivedAtUs
	}
	of.Submissions++
	of.LastSubmissionId = s.SubmissionId
	of.LastAtUs = max(of.LastAtUs, s.ReceivedAtUs)
	r.last = ordinal
}

// attributes are what a record is compared by.
func (r *record) attributes() *attributes {
	w := &r.words
	return &attributes{
		email:     attribute.Email{Address: w.email, Role: r.role},
		firstName: attribute.Text{Folded: w.firstName}, lastName: attribute.Text{Folded: w.lastName},
		phone: attribute.Phone{Number: w.phone}, company: attribute.Text{Folded: w.company},
	}
}

// submissionOf is a submission that says what a record says.
func submissionOf(r *schemas.Record) *schemas.Submission {
	return &schemas.Submission{
		Site: r.Site, Email: r.Email, FirstName: r.FirstName, LastName: r.LastName, Phone: r.Phone,
		Company: r.Company,
	}
}

// records holds every record by its number and finds them by the strategies' keys.
type records struct {
	list []*record
	byID map[string]uint32
	// byKey has the numbers of the records that have a key of a strategy, ascending.
	byKey []map[string][]uint32
	// byPerson has, of the keys that are shared, the records of each person who has a name. So a
	// value that everybody gives is not looked through for each of them.
	byPerson []map[string]map[string][]uint32
	// byWords has the first record that says the very same, by a hash.
	byWords map[uint64]uint32
	changed map[uint32]bool // since the last checkpoint
	rules   []Strategy
	// sharedBy is how many people may have given what a key is of; 0 is any number.
	sharedBy int
	// comparer tells degrees.
	comparer comparer
	// gone are ids whose keys in the changelog are of version 2.
	gone []string
}

func newRecords(list []Strategy, sharedBy int) records {
	r := records{
		byID: map[string]uint32{}, byWords: map[uint64]uint32{}, changed: map[uint32]bool{},
		rules: list, sharedBy: sharedBy, comparer: comparer{match.NewTexts()},
	}
	for range list {
		r.byKey = append(r.byKey, map[string][]uint32{})
		r.byPerson = append(r.byPerson, map[string]map[string][]uint32{})
	}
	return r
}

// add gives a record its number.
func (r *records) add(of *record) uint32 {
	number := uint32(len(r.list))
	of.said.Number = int64(number)
	r.list = append(r.list, of)
	r.byID[of.said.RecordId] = number
	a := of.attributes()
	for i, s := range r.rules {
		for _, key := range s.keys(a) {
			r.byKey[i][key] = append(r.byKey[i][key], number)
			if people, person := r.byPerson[i][key], a.person(); people != nil && person != "" {
				people[person] = append(people[person], number)
			}
		}
	}
	if _, known := r.byWords[of.words.hash()]; !known {
		r.byWords[of.words.hash()] = number
	}
	return number
}

// saying returns the first record that says the very same.
func (r *records) saying(w words) (number uint32, ok bool) {
	number, ok = r.byWords[w.hash()]
	return number, ok && r.list[number].words == w
}

// number returns the number of the record with an id.
func (r *records) number(id string) (number uint32, ok bool) {
	number, ok = r.byID[id]
	return number, ok
}

// agreeing returns the records that agree with a under a strategy, ascending. If there is none,
// the reason says why one that was found by a key is not meant; complete is false where a lacks
// what the strategy needs.
func (r *records) agreeing(
	strategy int, a *attributes,
) (numbers []uint32, reason string, complete bool) {
	s := r.rules[strategy]
	keys := s.keys(a)
	for _, key := range keys {
		having := r.byKey[strategy][key]
		people := r.people(strategy, key)
		shared := people != nil
		if own := people[a.person()]; shared {
			having = append(having[:1:1], own...) // the first says why nobody is meant
		}
		for _, number := range having {
			of := r.list[number]
			said := of.attributes()
			differs := r.comparer.differs(s, a, said)
			if differs == "" && shared && !a.samePerson(said) {
				differs = fmt.Sprintf("more than %d people gave that: it is nobody's own without the name",
					r.sharedBy)
			}
			switch {
			case differs == "":
				numbers = append(numbers, number)
			case reason == "":
				reason = "contact " + r.list[of.contact].said.RecordId + " has " +
					s.sameWords(a, said) + ", but " + differs
			}
		}
	}
	slices.Sort(numbers)
	return slices.Compact(numbers), reason, len(keys) > 0
}

// people returns by person the records with a key, nil where no more people gave what it is of than
// one contact may be.
func (r *records) people(strategy int, key string) map[string][]uint32 {
	if people := r.byPerson[strategy][key]; people != nil {
		return people
	}
	numbers := r.byKey[strategy][key]
	if r.sharedBy == 0 || len(numbers) <= r.sharedBy {
		return nil
	}
	people := map[string][]uint32{}
	for _, number := range numbers {
		if person := r.list[number].attributes().person(); person != "" {
			people[person] = append(people[person], number)
		}
	}
	if len(people) <= r.sharedBy {
		return nil
	}
	r.byPerson[strategy][key] = people
	return people
}

// agree reports whether two records agree under a strategy.
func (r *records) agree(strategy int, p pair) bool {
	s := r.rules[strategy]
	a, b := r.list[p.left].attributes(), r.list[p.right].attributes()
	theirs := s.keys(b)
	return slices.ContainsFunc(s.keys(a), func(key string) bool {
		return slices.Contains(theirs, key)
	}) && r.comparer.differs(s, a, b) == ""
}
