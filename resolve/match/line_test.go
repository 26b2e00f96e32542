package match

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// TestMarksTellTheLevel holds that where marks tell the level of two values, it is theirs, on
// contacts and on texts that have little to tell them apart; and that they mostly do.
func TestMarksTellTheLevel(t *testing.T) {
	told, all := 0, 0
	check := func(t interface{ Fatalf(string, ...any) }, c *comparer, i, j uint32) {
		x, y := c.lines.of(i), c.lines.of(j)
		for k, col := range c.columns {
			a, b := col.rows[i], col.rows[j]
			if idIn(x, k) != a || idIn(y, k) != b {
				t.Fatalf("the line has another value of %s", col.Name)
			}
			if a == 0 || b == 0 || a == b {
				continue
			}
			all++
			level := c.lines.unlike(k, x, y)
			if level == nullLevel {
				continue
			}
			told++
			for _, want := range []int{
				c.level(col.Kind, &col.values[a], &col.values[b]),
				c.level(col.Kind, &col.values[b], &col.values[a]),
			} {
				if level != want {
					t.Fatalf("%s: %q and %q are told to be on level %d, they are on %d", col.Name,
						col.values[a].text, col.values[b].text, level, want)
				}
			}
		}
		if g, f := c.given, c.family; g >= 0 && f >= 0 && c.swapped(i, j) &&
			!c.lines.maySwap(g, f, x, y) {
			t.Fatalf("records %d and %d are swapped", i, j)
		}
	}
	p := newPeople(8, 1000)
	r, err := p.set(inOrder(1000)).normalise(defaults())
	if err != nil {
		t.Fatal(err)
	}
	c := newComparer(r, defaults())
	r.everyPair(func(i, j uint32) { check(t, c, i, j) })
	if told*10 < all*9 {
		t.Errorf("of %d pairs of values, marks told the level of %d", all, told)
	}
	alphabet := map[Kind]string{
		GivenName: `[abeélzrt]{1,5}|bob|rob|robert|liz|lizzie`, FamilyName: `[abé]{1,5}( [ab]{1,2})?`,
		Date: `19[67][0-2]-0[1-9]-[012][1-9]|20000101|1970`, Phone: `\+?44?20?[01]{5,8}`,
		EmailKind: `[ab.]{1,6}[01]?@[ab]{1,2}\.(de|example)|info@[ab]\.de`,
		Postcode:  `[ab][12]{1,2} ?[12][ab]{2}|[12]{5}`, Code: `[ab12]{3,9}`, Category: `[ab]`,
		Address: `([ab]{1,2} ){0,5}[12]`, Text: `[abc ]{1,70}`, Company: `[ab]{1,3}( ltd)?( [ab])?`,
	}
	kinds := slices.Sorted(maps.Keys(alphabet))
	rapid.Check(t, func(t *rapid.T) {
		var names []string
		o := defaults()
		o.Model.Columns = map[string]Kind{}
		for i, kind := range kinds {
			names = append(names, fmt.Sprintf("c%02d", i))
			o.Model.Columns[names[i]] = kind
		}
		s := NewSet(names)
		for range 12 {
			var row []string
			for _, kind := range kinds {
				row = append(row, rapid.StringMatching(alphabet[kind]).Draw(t, string(kind)))
			}
			if err := s.Add(row, 0); err != nil {
				t.Fatal(err)
			}
		}
		r, err := s.normalise(o)
		if err != nil {
			t.Skip(err)
		}
		c := newComparer(r, defaults())
		r.everyPair(func(i, j uint32) { check(t, c, i, j) })
	})
}
