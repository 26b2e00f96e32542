package match

import (
	"strconv"
	"strings"
)

// date is a day as it was written; its parts are 0 where it is none that the calendar has.
type date struct {
	year       uint16
	month, day uint8
}

func (d date) known() bool { return d.year != 0 }

// dateOrder is which of two leading numbers of a date is the day, where the year comes last.
type dateOrder bool

const (
	dayFirst   dateOrder = false
	monthFirst dateOrder = true
)

// dateParts takes a date apart into its numbers: 1971-06-24, 24/06/1971, 24.6.1971, 19710624. A
// time of day behind it is ignored. ok is false for what has another shape.
func dateParts(text string) (parts [3]int, yearFirst, ok bool) {
	text, _, _ = strings.Cut(strings.TrimSpace(text), "T")
	text, _, _ = strings.Cut(text, " ")
	if len(text) == 8 && strings.Trim(text, "0123456789") == "" {
		text = text[:4] + "-" + text[4:6] + "-" + text[6:]
	}
	fields := strings.FieldsFunc(text, func(r rune) bool { return r == '-' || r == '/' || r == '.' })
	if len(fields) != 3 {
		return parts, false, false
	}
	for i, f := range fields {
		n, err := strconv.Atoi(f)
		if err != nil || len(f) > 4 || n < 0 {
			return parts, false, false
		}
		parts[i] = n
	}
	if len(fields[0]) == 4 {
		return parts, true, len(fields[1]) <= 2 && len(fields[2]) <= 2
	}
	return parts, false, len(fields[2]) == 4
}

// orderOf looks for a date that can be read in one order only; with none the day comes first.
func orderOf(texts []string) dateOrder {
	days, months := 0, 0
	for _, text := range texts {
		parts, yearFirst, ok := dateParts(text)
		switch {
		case !ok || yearFirst:
		case parts[0] > 12:
			days++
		case parts[1] > 12:
			months++
		}
	}
	return dateOrder(months > days)
}

// parseDate reads a date; ok is false where there is no such day.
func parseDate(text string, order dateOrder) (d date, ok bool) {
	parts, yearFirst, ok := dateParts(text)
	if !ok {
		return date{}, false
	}
	year, month, day := parts[0], parts[1], parts[2]
	if !yearFirst {
		day, month, year = parts[0], parts[1], parts[2]
		if order == monthFirst {
			day, month = month, day
		}
	}
	if year < 1 || month < 1 || month > 12 || day < 1 || day > daysIn(year, month) {
		return date{}, false
	}
	return date{uint16(year), uint8(month), uint8(day)}, true
}

func daysIn(year, month int) int {
	switch month {
	case 4, 6, 9, 11:
		return 30
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	}
	return 31
}

// digits writes the day as YYYYMMDD.
func (d date) digits() string {
	n := int(d.year)*10000 + int(d.month)*100 + int(d.day)
	text := strconv.Itoa(n)
	return strings.Repeat("0", max(0, 8-len(text))) + text
}
