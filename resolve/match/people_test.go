package match

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// people makes contacts as forms leave them: households with one address, surname and often one
// phone or e-mail address, twins, companies with one switchboard and one role mailbox, and every
// fifth row a person again, with typing errors, short forms, swapped names and missing values.
type people struct {
	*rand.Rand
	given, family, cities, streets []string
	short                          map[string][]string
	rows                           [][]string
	entity                         []string
	taken                          int
}

func peopleColumns() []string {
	return []string{
		"contact_no", "first_name", "last_name", "email", "phone", "date_of_birth", "street", "city",
		"postcode", "company",
	}
}

// The columns that tests name.
const (
	atGiven  = 1
	atFamily = 2
	atEmail  = 3
)

func newPeople(seed uint64, rows int) *people {
	p := &people{Rand: rand.New(rand.NewPCG(seed, 1)), short: map[string][]string{}}
	for line := range strings.Lines(nicknames) {
		names := strings.Fields(line)
		p.given = append(p.given, names[0])
		p.short[names[0]] = names[1:]
	}
	p.family = p.words(400+rows/20, 2, 3)
	p.cities = p.words(60, 2, 3)
	p.streets = p.words(300+rows/50, 2, 3)
	for len(p.rows) < rows {
		switch p.IntN(10) {
		case 0, 1, 2:
			p.household()
		case 3:
			p.company()
		default:
			p.add(p.person("", ""))
		}
	}
	p.rows, p.entity = p.rows[:rows], p.entity[:rows]
	p.Shuffle(rows, func(i, j int) {
		p.rows[i], p.rows[j] = p.rows[j], p.rows[i]
		p.entity[i], p.entity[j] = p.entity[j], p.entity[i]
	})
	return p
}

// words makes names of so many syllables.
func (p *people) words(n, least, most int) []string {
	out := make([]string, n)
	for i := range out {
		for range least + p.IntN(most-least+1) {
			out[i] += string("bcdfghklmnprstvwz"[p.IntN(17)]) + string("aeiou"[p.IntN(5)])
			if p.IntN(3) == 0 {
				out[i] += string("lnrst"[p.IntN(5)])
			}
		}
	}
	return out
}

// zipf favours the first of a list, as names do.
func (p *people) zipf(list []string) string {
	return list[int(float64(len(list))*p.Float64()*p.Float64())]
}

func (p *people) person(family, phone string) []string {
	given := p.zipf(p.given)
	if family == "" {
		family = p.zipf(p.family)
	}
	if phone == "" {
		phone = fmt.Sprintf("+44 20 %04d %04d", p.IntN(10000), p.IntN(10000))
	}
	host := []string{"mail.example", "post.example", "web.example"}[p.IntN(3)]
	email := given + "." + family + "@" + host
	if p.IntN(2) == 0 {
		email = fmt.Sprintf("%s%s%d@%s", given[:1], family, p.IntN(1000), host)
	}
	return []string{
		"", given, family, email, phone, p.date(),
		fmt.Sprintf("%d %s street", 1+p.IntN(120), p.zipf(p.streets)), p.zipf(p.cities),
		fmt.Sprintf("%c%c%d %d%c%c", 'a'+p.IntN(26), 'a'+p.IntN(26), p.IntN(20), p.IntN(10),
			'a'+p.IntN(26), 'a'+p.IntN(26)), "",
	}
}

func (p *people) date() string {
	return fmt.Sprintf("%d-%02d-%02d", 1940+p.IntN(66), 1+p.IntN(12), 1+p.IntN(28))
}

// household shares what people who live together share. Every fifth has twins.
func (p *people) household() {
	head := p.person("", "")
	p.add(head)
	born := p.date()
	twins := p.IntN(5) == 0
	for range 1 + p.IntN(3) {
		other := p.person(head[atFamily], "")
		copy(other[6:9], head[6:9])
		if p.IntN(2) == 0 {
			other[4] = head[4]
		}
		if p.IntN(7) == 0 {
			other[atEmail] = head[atEmail]
		}
		if twins {
			other[5] = born
		}
		p.add(other)
	}
}

func (p *people) company() {
	name := p.words(1, 3, 3)[0]
	phone := fmt.Sprintf("+44 161 %03d 0000", p.IntN(1000))
	for range 2 + p.IntN(8) {
		other := p.person("", phone)
		other[9] = name + " ltd"
		if p.IntN(3) == 0 {
			other[atEmail] = "info@" + name + ".example"
		}
		p.add(other)
	}
}

// add adds a person, and often the same person again.
func (p *people) add(row []string) {
	p.taken++
	for n := 0; ; n++ {
		again := append([]string(nil), row...)
		if n > 0 {
			p.spoil(again)
		}
		again[0] = fmt.Sprintf("c%07d", len(p.rows))
		p.rows = append(p.rows, again)
		p.entity = append(p.entity, fmt.Sprint(p.taken))
		if p.IntN(5) > 0 {
			return
		}
	}
}

// spoil does to a row what happens when someone fills in a form again.
func (p *people) spoil(row []string) {
	if short := p.short[row[atGiven]]; len(short) > 0 && p.IntN(6) == 0 {
		row[atGiven] = short[p.IntN(len(short))]
	}
	if p.IntN(25) == 0 {
		row[atGiven], row[atFamily] = row[atFamily], row[atGiven]
	}
	if p.IntN(8) == 0 { // moved
		fresh := p.person("", "")
		copy(row[6:9], fresh[6:9])
	}
	if p.IntN(5) == 0 {
		row[atEmail] = p.person(row[atFamily], "")[atEmail]
	}
	if p.IntN(6) == 0 {
		row[4] = p.person("", "")[4]
	}
	for at := 1; at < len(row); at++ {
		switch {
		case row[at] == "":
		case p.IntN(9) == 0 && at > atFamily:
			row[at] = ""
		case p.IntN(10) == 0:
			row[at] = p.typo(row[at])
		case p.IntN(6) == 0:
			row[at] = strings.ToUpper(row[at]) + " "
		}
	}
}

func (p *people) typo(text string) string {
	b := []byte(text)
	at := p.IntN(len(b))
	switch p.IntN(3) {
	case 0:
		return string(b[:at]) + string(b[at+1:])
	case 1:
		if at > 0 {
			b[at], b[at-1] = b[at-1], b[at]
		}
		return string(b)
	}
	if b[at] >= '0' && b[at] <= '9' {
		b[at] = '0' + byte(p.IntN(10))
	} else {
		b[at] = 'a' + byte(p.IntN(26))
	}
	return string(b)
}

// set holds the rows in an order of its own.
func (p *people) set(order []int) *Set {
	s := NewSet(peopleColumns())
	for _, at := range order {
		if err := s.Add(p.rows[at], 0); err != nil {
			panic(err)
		}
	}
	return s
}

func inOrder(n int) []int {
	order := make([]int, n)
	for i := range order {
		order[i] = i
	}
	return order
}
