package match

import (
	"slices"
	"testing"
)

func TestNormaliser(t *testing.T) {
	for _, c := range []struct {
		kind   Kind
		region string
		raw    string
		want   string
	}{
		{GivenName, "", " Zoë ", "zoe"},
		{GivenName, "", "Dr. Ada", "ada"},
		{FamilyName, "", "O'Brien", "obrien"},
		{FamilyName, "", "Null", "null"}, // a family's name, too
		{FullName, "", "Mr Łukasz Żak", "lukasz zak"},
		{EmailKind, "", "A.D.A+x@googlemail.com", "ada@gmail.com"},
		{EmailKind, "", "n/a", ""},
		{EmailKind, "", "roberta25@smith", "roberta25@smith"},
		{Phone, "", "+44 (0)20 7946 0123", "+442079460123"},
		{Phone, "GB", "020 7946 0123", "+442079460123"},
		{Phone, "", "000000", ""},
		{Date, "", "1971-06-24", "19710624"},
		{Date, "", "24/06/1971", "19710624"},
		{Date, "", "19710631", "19710631"}, // impossible, and still a text
		{Postcode, "", "tq13 8DF", "tq138df"},
		{Address, "", "69 Giblin St.", "69 giblin street"},
		{Company, "", "The Acme Company, Inc.", "acme"},
		{Company, "", "Company Ltd", "company ltd"}, // there is no more to it
		{Place, "", "unknown", ""},
		{Text, "", " - ", ""},
	} {
		n := normaliser{kind: c.kind, region: c.region}
		v, steps := n.of(c.raw)
		if v.text != c.want {
			t.Errorf("%s %q is %q, want %q", c.kind, c.raw, v.text, c.want)
		}
		if v.text != "" && v.text != c.raw && len(steps) == 0 {
			t.Errorf("%s %q became %q, and no step is named", c.kind, c.raw, v.text)
		}
	}
}

func TestDates(t *testing.T) {
	for text, want := range map[string]date{
		"1971-06-24": {1971, 6, 24}, "1971/6/4": {1971, 6, 4}, "19710624": {1971, 6, 24},
		"24.06.1971": {1971, 6, 24}, "1971-06-24 00:00:00": {1971, 6, 24},
		"1971-06-24T10:00:00Z": {1971, 6, 24}, "2000-02-29": {2000, 2, 29},
		"1900-02-29": {}, "1971-13-01": {}, "1971-06-31": {}, "0000-01-01": {}, "24.06.71": {},
		"06-1971": {}, "no date": {}, "": {},
	} {
		got, ok := parseDate(text, dayFirst)
		if got != want || ok != want.known() {
			t.Errorf("parseDate(%q) = %v, %v, want %v", text, got, ok, want)
		}
	}
	if got, _ := parseDate("06/24/1971", monthFirst); got != (date{1971, 6, 24}) {
		t.Errorf("with the month first: %v", got)
	}
	if orderOf([]string{"01/02/1971", "06/24/1971"}) != monthFirst {
		t.Error("06/24/1971 has its month first")
	}
	if orderOf([]string{"01/02/1971", "24/06/1971"}) != dayFirst {
		t.Error("24/06/1971 has its day first")
	}
}

func TestKinds(t *testing.T) {
	for name, want := range map[string]Kind{
		"first_name": GivenName, "GivenName": GivenName, "Surname": FamilyName, "last name": FamilyName,
		"E-Mail": EmailKind, "work email": EmailKind, "home_phone": Phone, "phone2": Phone,
		"date_of_birth": Date, "postcode_fake": Postcode, "Zip": Postcode, "address_1": Address,
		"birth_place": Place, "cluster": Ignored, "unique_id": Ignored, "soc_sec_id": Code,
		"company": Company, "gender": Category, "favourite dish": "",
	} {
		if got, _ := kindByName(name); got != want {
			t.Errorf("column %q is %q, want %q", name, got, want)
		}
	}
	for want, texts := range map[Kind][]string{
		EmailKind: {"a@x.example", "b@y.example", "c@z.example"},
		Date:      {"1971-06-24", "1980-01-01", "1990-12-31"},
		Ignored:   {"k1", "k2", "k3"}, // one of its own for each row
		Text:      {"roast beef", "apple pie", "soup"},
	} {
		if got := kindByValues(look(texts, len(texts))); got != want {
			t.Errorf("%q are %q, want %q", texts, got, want)
		}
	}
	if got := kindByValues(look([]string{"red", "blue"}, 100)); got != Category {
		t.Errorf("two colours in 100 rows are %q", got)
	}
	if got := kindByValues(look([]string{"x1", "x2", "x3"}, 4)); got != Code {
		t.Errorf("codes that come again are %q", got)
	}
}

// TestRowNumbers holds that a number of its own for each row is no evidence, whatever it is called.
func TestRowNumbers(t *testing.T) {
	s := setOf(t, "customer_id|email", "c1|a@x.example", "c2|b@x.example", "c3|c@x.example")
	if got := s.columns[0].kind(defaults()); got != Ignored {
		t.Errorf("numbers that never come again are a %s", got)
	}
	s = setOf(t, "customer_id|email", "c1|a@x.example", "c2|b@x.example", "c1|c@x.example")
	if got := s.columns[0].kind(defaults()); got != Code {
		t.Errorf("numbers that come again are a %s", got)
	}
}

func TestAlign(t *testing.T) {
	got := Align([]string{"First Name", "surname", "phone", "city"},
		[]string{"city", "last_name", "first_name", "phone", "fax"}, nil)
	if want := []int{2, 1, 3, 0}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	got = Align([]string{"phone"}, []string{"home_phone", "work_phone"}, nil)
	if want := []int{-1}; !slices.Equal(got, want) {
		t.Errorf("two could be meant: got %v, want %v", got, want)
	}
	got = Align([]string{"dob", "Kunde"}, []string{"Ref", "Wer", "geboren"},
		map[string]Kind{"geboren": Date, "Kunde": Company, "Wer": Company})
	if want := []int{2, 1}; !slices.Equal(got, want) {
		t.Errorf("with kinds that were given: got %v, want %v", got, want)
	}
}

func TestNicknames(t *testing.T) {
	s := newShortForms()
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"bob", "robert", true},
		{"robert", "rob", true},
		{"alex", "alexandra", true},
		{"alex", "alexander", true},
		{"alexander", "alexandra", false},
		{"bob", "bill", false},
		{"nobody", "nobody", false},
	} {
		if s.same(c.a, c.b) != c.want {
			t.Errorf("%s and %s: want %v", c.a, c.b, c.want)
		}
	}
}

// TestLevels holds the level of two values, by its name.
func TestLevels(t *testing.T) {
	c := &comparer{records: &records{names: newShortForms(), given: -1, family: -1}}
	for _, x := range []struct {
		kind Kind
		a, b string
		want string
	}{
		{GivenName, "Bob", "Robert", "short form of it"},
		{GivenName, "Katherin", "Katherine", "close"},
		{GivenName, "J", "John", "a part or an initial"},
		{GivenName, "Mary", "Anne Mary", "a part or an initial"},
		{GivenName, "Peter", "Anne", "other"},
		{FamilyName, "Smith", "Smiht", "close"},
		{FamilyName, "Smith", "Smith-Jones", "a part"},
		{FamilyName, "Smith", "Brown", "other"},
		{Date, "1971-06-24", "1971-06-25", "one edit"},
		{Date, "1971-06-02", "1971-02-06", "day and month swapped"},
		{Date, "1971-06-24", "1971-06-09", "two of year, month and day"},
		{Date, "1971-06-24", "1971-11-09", "same year"},
		{Date, "1971-06-24", "1979-11-03", "within ten years"},
		{Date, "1971-06-24", "1943-11-03", "other"},
		{EmailKind, "ada@x.example", "ada@y.example", "same user part"},
		{EmailKind, "ada.king@x.example", "ada.kign@x.example", "at most two edits"},
		{EmailKind, "ada.king@x.example", "bob@web.example", "other"},
		{EmailKind, "a@x.example", "b@x.example", "other"},
		{Code, "12", "13", "other"},
		{Phone, "+44 20 7946 0123", "020 7946 0123", "same but for the country code"},
		{Phone, "020 7946 0123", "020 7946 0124", "one edit"},
		{Postcode, "TQ13 8DF", "TQ13 8DG", "one edit"},
		{Postcode, "TQ13 8DF", "TQ13 9XX", "same area"},
		{Code, "1234567", "1243567", "one edit"},
		{Code, "1234567", "7654321", "other"},
		{Company, "Acme Northern Ltd", "Northern Acme", "the same words"},
		{Address, "12 High St", "12 Hihg Street", "close"},
		{Address, "12 High Street", "21 Station Road", "other"},
	} {
		n := normaliser{kind: x.kind}
		a, _ := n.of(x.a)
		b, _ := n.of(x.b)
		level := c.level(x.kind, &a, &b)
		if got := defaultLevels()[x.kind][level-1].Name; got != x.want {
			t.Errorf("%s %q and %q: %s, want %s", x.kind, x.a, x.b, got, x.want)
		}
		if back := c.level(x.kind, &b, &a); back != level {
			t.Errorf("%s %q and %q: level %d, the other way round %d", x.kind, x.a, x.b, level, back)
		}
	}
}

// TestSameText holds that texts that are compared as the same are the same in all they say: which
// of them comes first makes no difference.
func TestSameText(t *testing.T) {
	for _, c := range []struct {
		kind  Kind
		texts []string
	}{
		{Date, []string{"1963-11-07", "196311-07", "19631107", "1963 1107"}},
		{EmailKind, []string{"info@firm.example", "in fo@firm.example", "INFO@firm .example"}},
	} {
		n := normaliser{kind: c.kind}
		want, _ := n.of(c.texts[0])
		for _, text := range c.texts[1:] {
			if got, _ := n.of(text); got != want {
				t.Errorf("%q: %+v, want that of %q: %+v", text, got, c.texts[0], want)
			}
		}
	}
}
