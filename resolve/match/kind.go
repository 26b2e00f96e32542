package match

import (
	"slices"
	"strings"
	"unicode"
)

// Kind is what a column holds. It decides how its values are normalised and compared.
type Kind string

// The kinds. Ignored columns take no part.
const (
	GivenName  Kind = "given name"
	FamilyName Kind = "family name"
	FullName   Kind = "full name"
	EmailKind  Kind = "e-mail"
	Phone      Kind = "phone"
	Date       Kind = "date"
	Postcode   Kind = "postcode"
	Place      Kind = "place"
	Address    Kind = "address"
	Company    Kind = "company"
	Code       Kind = "code"
	Category   Kind = "category"
	Text       Kind = "text"
	Ignored    Kind = "ignored"
)

// Kinds lists them.
func Kinds() []Kind {
	return []Kind{
		GivenName, FamilyName, FullName, EmailKind, Phone, Date, Postcode, Place, Address, Company, Code,
		Category, Text, Ignored,
	}
}

// known are column names, in lower case with _ between the words, whose meaning is plain.
func known() map[Kind][]string {
	return map[Kind][]string{
		GivenName: {
			"first_name", "firstname", "given_name", "givenname", "given_names", "forename",
			"forenames", "fname", "first", "vorname", "prenom", "nombre", "christian_name",
		},
		FamilyName: {
			"last_name", "lastname", "surname", "family_name", "familyname", "lname", "last", "sname",
			"nachname", "nom", "apellido", "apellidos",
		},
		FullName: {
			"full_name", "fullname", "name", "person_name", "contact_name", "display_name",
			"customer_name",
		},
		Phone:    {"phone", "telephone", "tel", "mobile", "cell", "cellphone", "telefon", "msisdn"},
		Date:     {"dob", "date_of_birth", "birth_date", "birthdate", "birthday", "geburtsdatum"},
		Postcode: {"postcode", "postal_code", "postalcode", "zip", "zipcode", "zip_code", "plz"},
		Place: {
			"city", "town", "suburb", "locality", "birth_place", "birthplace", "place_of_birth",
			"county", "district", "ort", "ville", "ciudad", "village",
		},
		Address: {"address", "street", "addr", "strasse", "street_address"},
		Company: {
			"company", "company_name", "organisation", "organization", "employer", "firm",
			"business", "business_name", "firma", "account_name", "org",
		},
		Code: {
			"ssn", "soc_sec_id", "social_security_number", "nhs_number", "tax_id", "passport",
			"passport_number", "national_id", "nino", "vat", "external_id", "customer_id",
			"member_id", "customer_number", "licence", "license",
		},
		Category: {
			"gender", "sex", "state", "country", "country_code", "title", "salutation", "language",
			"street_number", "house_number", "province", "region",
		},
		Ignored: {
			"id", "unique_id", "rec_id", "record_id", "row", "row_id", "index", "cluster",
			"cluster_id", "entity", "entity_id", "true_id", "label", "truth", "match_id", "group_id",
			"person_id", "source", "source_dataset", "file", "created_at", "updated_at",
		},
	}
}

// headerWords is a column's name in lower case with _ between its words.
func headerWords(header string) string {
	words := strings.FieldsFunc(strings.ToLower(header), func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r)
	})
	return strings.Join(words, "_")
}

// kindByName is the kind that a column's name tells; ok is false where it tells none.
func kindByName(header string) (kind Kind, ok bool) {
	name := headerWords(header)
	all := known()
	for kind, names := range all {
		if slices.Contains(names, name) {
			return kind, true
		}
	}
	if strings.Contains(name, "email") || strings.Contains(name, "e_mail") {
		return EmailKind, true
	}
	// A number behind a name, or a word around it, changes nothing: address_1, home_phone.
	words := strings.FieldsFunc(name, func(r rune) bool { return r == '_' || unicode.IsDigit(r) })
	for _, kind := range []Kind{Phone, Postcode, Address, Place, Company, Date} {
		for _, word := range words {
			if slices.Contains(all[kind], word) {
				return kind, true
			}
		}
	}
	return "", false
}

// sample counts what the values of a column look like.
type sample struct {
	rows     int // with a value
	distinct int
	emails   int // of the distinct ones
	dates    int
	digits   int // no letter, at least five digits
	codes    int // digits, and no white space
}

func look(texts []string, rows int) sample {
	s := sample{rows: rows, distinct: len(texts)}
	for _, text := range texts {
		digits := strings.IndexFunc(text, unicode.IsDigit) >= 0
		letters := strings.IndexFunc(text, unicode.IsLetter) >= 0
		if at := strings.IndexByte(text, '@'); at > 0 && strings.IndexByte(text[at:], '.') > 0 {
			s.emails++
		}
		if _, yearFirst, ok := dateParts(text); ok && (yearFirst || !letters) {
			s.dates++
		}
		if digits && !letters && len(text) >= 5 {
			s.digits++
		}
		if digits && strings.IndexFunc(text, unicode.IsSpace) < 0 {
			s.codes++
		}
	}
	return s
}

// kindByValues is the kind of a column whose name tells none.
func kindByValues(s sample) Kind {
	const few = 50
	most := func(n int) bool { return n*10 >= s.distinct*8 }
	switch {
	case s.distinct < 2:
		return Ignored // it tells no one from another
	case most(s.emails):
		return EmailKind
	case most(s.dates):
		return Date
	case most(s.codes) && s.distinct == s.rows:
		return Ignored // a key of its own for each row
	case s.distinct <= few && s.distinct*4 < s.rows:
		return Category
	case most(s.codes):
		return Code
	}
	return Text
}

// Align says which of the others stands for each of the columns: the one of the same name, but for
// case and punctuation, else the only one of the same kind, which kinds tells or the name; -1 where
// there is none.
func Align(columns, others []string, kinds map[string]Kind) []int {
	kindOf := func(name string) (Kind, bool) {
		if kind, ok := kinds[name]; ok {
			return kind, true
		}
		return kindByName(name)
	}
	places := make([]int, len(columns))
	taken := make([]bool, len(others))
	for i, name := range columns {
		places[i] = slices.IndexFunc(others, func(o string) bool {
			return headerWords(o) == headerWords(name)
		})
		if places[i] >= 0 {
			taken[places[i]] = true
		}
	}
	for i, name := range columns {
		kind, ok := kindOf(name)
		if places[i] >= 0 || !ok || kind == Ignored || kind == Category {
			continue
		}
		found := -1
		for at, other := range others {
			if k, _ := kindOf(other); k == kind && !taken[at] {
				if found >= 0 {
					found = -1
					break
				}
				found = at
			}
		}
		if found >= 0 {
			places[i], taken[found] = found, true
		}
	}
	return places
}
