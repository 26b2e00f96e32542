package strictyaml

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// units in the order of their length; a day is 86,400 s whatever the calendar says.
var units = []struct {
	name   string
	length time.Duration
}{
	{"w", 7 * 24 * time.Hour},
	{"d", 24 * time.Hour},
	{"h", time.Hour},
	{"m", time.Minute},
	{"s", time.Second},
	{"ms", time.Millisecond},
	{"us", time.Microsecond},
}

// ParseDuration reads a duration such as 30m, 28d, 2w, 1h30m, 1.5s or -10d. Units are w, d (86,400
// s), h, m, s, ms and us, from long to short, each at most once; 0 needs none.
func ParseDuration(text string) (time.Duration, error) {
	rest, negative := strings.CutPrefix(text, "-")
	if rest == "0" {
		return 0, nil
	}
	if rest == "" {
		return 0, fmt.Errorf("%q is no duration such as 30m, 24h or 28d", text)
	}
	var total float64
	next := 0 // units from here on may follow
	for rest != "" {
		digits := strings.IndexFunc(rest, func(r rune) bool { return (r < '0' || r > '9') && r != '.' })
		if digits < 0 {
			return 0, fmt.Errorf("%q needs a unit: w, d, h, m, s, ms or us", text)
		}
		number, err := strconv.ParseFloat(rest[:digits], 64)
		if err != nil {
			return 0, fmt.Errorf("%q is no duration such as 30m, 24h or 28d", text)
		}
		rest = rest[digits:]
		letters := strings.IndexFunc(rest, func(r rune) bool { return r < 'a' || r > 'z' })
		if letters < 0 {
			letters = len(rest)
		}
		unit := next
		for unit < len(units) && units[unit].name != rest[:letters] {
			unit++
		}
		if unit == len(units) {
			return 0, fmt.Errorf("%q is no duration: units are w, d, h, m, s, ms and us, in this "+
				"order", text)
		}
		total += number * float64(units[unit].length)
		next, rest = unit+1, rest[letters:]
	}
	if total > math.MaxInt64/2 {
		return 0, fmt.Errorf("%q is longer than 146 years", text)
	}
	if negative {
		total = -total
	}
	return time.Duration(math.Round(total)), nil
}

// FormatDuration is the inverse of ParseDuration, to the microsecond: the shortest form, without
// weeks.
func FormatDuration(d time.Duration) string {
	if d == 0 {
		return "0s"
	}
	var b strings.Builder
	if d < 0 {
		b.WriteByte('-')
		d = -d
	}
	for _, unit := range units[1:] {
		if n := d / unit.length; n > 0 {
			fmt.Fprintf(&b, "%d%s", n, unit.name)
			d -= n * unit.length
		}
	}
	return b.String()
}
