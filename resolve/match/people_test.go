package match

import (
	"fmt"

	"crumbtrail/benchmarks/people"
)

// contacts are made up, and whose each is.
type contacts struct {
	rows   [][]string
	entity []string
}

func newPeople(seed uint64, rows int) *contacts {
	c := &contacts{}
	for _, row := range people.Make(people.Config{Rows: rows, Seed: seed}) {
		c.rows = append(c.rows, row.Fields)
		c.entity = append(c.entity, fmt.Sprint(row.Person))
	}
	return c
}

// set holds the rows in an order of its own.
func (c *contacts) set(order []int) *Set {
	s := NewSet(people.Columns())
	for _, at := range order {
		if err := s.Add(c.rows[at], 0); err != nil {
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
