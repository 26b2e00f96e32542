// Package people makes contacts up as forms leave them, to measure the matching of records with: it
// reads nothing but a seed, writes rows and whose each of them is, and guarantees the same rows for
// the same seed.
//
// There are households with one address, one family name and often one phone or mailbox, twins,
// companies with a switchboard and mailboxes of a function, and people who come again, with typing
// errors, short forms, swapped names and missing values.
package people

import (
	_ "embed"
	"encoding/csv"
	"fmt"
	"io"
	"math/rand/v2"
	"strconv"
	"strings"
)

// Config says what is made.
type Config struct {
	Rows int
	Seed uint64
}

// Truth is the column of a file that says whose each row is.
const Truth = "person_id"

// The columns.
const (
	Number = iota
	Given
	Family
	Email
	Phone
	Born
	Street
	City
	Postcode
	Company
	columns
)

// Columns are the names of the columns, the truth apart.
func Columns() []string {
	return []string{
		"contact_no", "first_name", "last_name", "email", "phone", "date_of_birth", "street", "city",
		"postcode", "company",
	}
}

// Row is a contact, and whose.
type Row struct {
	Person int
	Fields []string
}

// repeated is how many rows there are to one that is a person's again.
const repeated = 5

// Make makes contacts. Every fifth is of a person that another is of already.
func Make(c Config) []Row {
	w := newWorld(c)
	for len(w.rows) < c.Rows {
		switch w.IntN(10) {
		case 0, 1, 2:
			w.household()
		case 3:
			w.company()
		default:
			w.add(w.person(""))
		}
	}
	rows := w.rows[:c.Rows]
	w.Shuffle(c.Rows, func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
	return rows
}

// CSV writes contacts with a header, the truth first.
func CSV(w io.Writer, c Config) error {
	out := csv.NewWriter(w)
	line := append([]string{Truth}, Columns()...)
	_ = out.Write(line) // a csv.Writer keeps its error
	for _, row := range Make(c) {
		line[0] = strconv.Itoa(row.Person)
		copy(line[1:], row.Fields)
		_ = out.Write(line)
	}
	out.Flush()
	return out.Error()
}

//go:embed names.txt
var givenNames string

//go:embed surnames.txt
var surnames string

// world is what people are made of.
type world struct {
	*rand.Rand
	given, family, cities, streets, hosts []string
	// short are the short forms of a given name.
	short map[string][]string
	rows  []Row
	// most is how many may work at one company.
	most   int
	people int
}

func newWorld(c Config) *world {
	w := &world{
		Rand: rand.New(rand.NewPCG(c.Seed, 1)), short: map[string][]string{},
		most: min(300, 10+c.Rows/100),
	}
	for line := range strings.Lines(givenNames) {
		names := strings.Fields(line)
		w.given = append(w.given, names[0])
		w.short[names[0]] = names[1:]
	}
	w.family = append(strings.Fields(surnames), w.words(c.Rows/20, 2, 4)...)
	w.cities = w.words(60+c.Rows/2000, 2, 3)
	w.streets = w.words(300+c.Rows/50, 2, 3)
	w.hosts = w.words(30, 2, 3)
	return w
}

// words makes names of so many syllables.
func (w *world) words(n, least, most int) []string {
	out := make([]string, n)
	for i := range out {
		for range least + w.IntN(most-least+1) {
			out[i] += string("bcdfghklmnprstvwz"[w.IntN(17)]) + string("aeiou"[w.IntN(5)])
			if w.IntN(3) == 0 {
				out[i] += string("lnrst"[w.IntN(5)])
			}
		}
	}
	return out
}

// among takes one of a list, the first of it most often, as names and places are.
func (w *world) among(list []string) string { return list[w.place(len(list))] }

func (w *world) place(n int) int { return int(float64(n) * w.Float64() * w.Float64()) }

// one is true once in so many times.
func (w *world) one(in int) bool { return w.IntN(in) == 0 }

// person makes one up; with a family name that is not empty, of that family.
func (w *world) person(family string) []string {
	row := make([]string, columns)
	row[Given], row[Family] = w.among(w.given), family
	if family == "" {
		row[Family] = w.among(w.family)
	}
	row[Email] = w.email(row[Given], row[Family], w.among(w.hosts)+".example")
	row[Phone] = w.phone()
	row[Born] = w.born()
	w.move(row)
	return row
}

// move gives a person an address. Those of a street of a city have one postcode.
func (w *world) move(row []string) {
	city, street := w.place(len(w.cities)), w.among(w.streets)
	at := uint64(city)
	for _, letter := range street {
		at = at*31 + uint64(letter)
	}
	row[City] = w.cities[city]
	row[Street] = fmt.Sprintf("%d %s street", 1+w.IntN(120), street)
	row[Postcode] = fmt.Sprintf("%c%c%d %d%c%c", 'a'+city%26, 'a'+city/26%26, at/6760%20, at%10,
		'a'+rune(at/10%26), 'a'+rune(at/260%26))
}

func (w *world) email(given, family, host string) string {
	given, family = strings.ReplaceAll(given, " ", ""), strings.ReplaceAll(family, "'", "")
	letter := string([]rune(given)[:1])
	switch w.IntN(6) {
	case 0:
		return given + "." + family + "@" + host
	case 1:
		return fmt.Sprintf("%s.%s%d@%s", given, family, w.IntN(100), host)
	case 2:
		return letter + family + "@" + host
	case 3:
		return fmt.Sprintf("%s%d@%s", given, 1940+w.IntN(70), host)
	case 4:
		return fmt.Sprintf("%s%d@%s", w.words(1, 3, 4)[0], w.IntN(100), host)
	}
	return fmt.Sprintf("%s%s%d@%s", letter, family, w.IntN(1000), host)
}

func (w *world) phone() string {
	return fmt.Sprintf("+44 7%d %06d", 100+w.IntN(900), w.IntN(1_000_000))
}

func (w *world) born() string {
	return fmt.Sprintf("%d-%02d-%02d", 1940+w.IntN(66), 1+w.IntN(12), 1+w.IntN(28))
}

// household shares what people who live together share. Every fifth has twins, or triplets.
func (w *world) household() {
	head := w.person("")
	w.add(head)
	born, twins := w.born(), w.one(5)
	for range 1 + w.IntN(3) {
		other := w.person(head[Family])
		copy(other[Street:Company], head[Street:Company])
		if w.one(2) {
			other[Phone] = head[Phone]
		}
		if w.one(7) {
			other[Email] = head[Email]
		}
		if twins {
			other[Born] = born
		}
		w.add(other)
	}
}

// company has a switchboard, a mailbox of a function, and sometimes hundreds of people.
func (w *world) company() {
	name := w.words(1, 3, 3)[0]
	phone := fmt.Sprintf("+44 161 %03d 0000", w.IntN(1000))
	role := []string{"info", "office", "sales"}[w.IntN(3)] + "@" + name + ".example"
	staff := 2 + w.IntN(8)
	if w.one(50) {
		staff = w.most/10 + w.IntN(w.most)
	}
	for range staff {
		other := w.person("")
		other[Company] = name + " ltd"
		if !w.one(3) {
			other[Phone] = phone
		}
		switch w.IntN(4) {
		case 0:
			other[Email] = role
		case 1, 2:
			other[Email] = w.email(other[Given], other[Family], name+".example")
		}
		w.add(other)
	}
}

// add adds a person, and often the same person again.
func (w *world) add(row []string) {
	w.people++
	for n := 0; ; n++ {
		said := append([]string(nil), row...)
		if n > 0 {
			w.changed(said)
			w.mistaken(said)
		}
		w.leftOut(said)
		said[Number] = fmt.Sprintf("c%07d", len(w.rows))
		w.rows = append(w.rows, Row{w.people, said})
		if !w.one(repeated) {
			return
		}
	}
}

// changed is what has become another since.
func (w *world) changed(row []string) {
	if w.one(8) {
		w.move(row)
	}
	if w.one(5) {
		row[Email] = w.email(row[Given], row[Family], w.among(w.hosts)+".example")
	}
	if w.one(6) {
		row[Phone] = w.phone()
	}
}

// mistaken is what is written in another way, or wrong.
func (w *world) mistaken(row []string) {
	if short := w.short[row[Given]]; len(short) > 0 && w.one(6) {
		row[Given] = short[w.IntN(len(short))]
	}
	if w.one(25) {
		row[Given], row[Family] = row[Family], row[Given]
	}
	if year, rest, _ := strings.Cut(row[Born], "-"); w.one(30) {
		month, day, _ := strings.Cut(rest, "-")
		row[Born] = year + "-" + day + "-" + month
	}
	if digits, ok := strings.CutPrefix(row[Phone], "+44 "); ok && w.one(3) {
		row[Phone] = "0" + digits
	}
	for at := Given; at < columns; at++ {
		switch {
		case row[at] == "":
		case w.one(12):
			row[at] = w.typo(row[at])
		case w.one(6):
			row[at] = strings.ToUpper(row[at]) + " "
		}
	}
	row[Company] = strings.Replace(row[Company], "ltd", "limited", w.IntN(2))
}

// leftOut is what somebody does not say.
func (w *world) leftOut(row []string) {
	if w.one(12) {
		row[Email] = ""
	}
	if w.one(8) {
		row[Phone] = ""
	}
	if w.one(6) {
		row[Born] = ""
	}
	if w.one(20) {
		row[Street], row[City], row[Postcode] = "", "", ""
	}
}

// typo leaves a character out, swaps two, or puts another in its place.
func (w *world) typo(text string) string {
	letters := []rune(text)
	at := w.IntN(len(letters))
	switch w.IntN(3) {
	case 0:
		return string(letters[:at]) + string(letters[at+1:])
	case 1:
		if at > 0 {
			letters[at], letters[at-1] = letters[at-1], letters[at]
		}
		return string(letters)
	}
	if letters[at] >= '0' && letters[at] <= '9' {
		letters[at] = '0' + rune(w.IntN(10))
	} else {
		letters[at] = 'a' + rune(w.IntN(26))
	}
	return string(letters)
}
