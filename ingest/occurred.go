package ingest

import (
	"math"
	"time"
)

// occurred returns when a beacon happened, in microseconds since the epoch like its arguments, of
// which 0 means that the client did not say. The client's two times give how long ago it was by
// one and the same clock, so that this clock's offset cancels out (the derived timestamp of
// Snowplow, and Segment's timestamp). Whatever they say, the result lies between received-maxAge
// and received; clamped is true where it was they that had to give way.
func occurred(received, created, sent int64, maxAge time.Duration) (us int64, clamped bool) {
	if created == 0 {
		return received, false
	}
	oldest := minus(received, maxAge.Microseconds())
	if sent == 0 {
		if created < oldest || created > received {
			return received, true
		}
		return created, false
	}
	at := minus(received, minus(sent, created))
	switch {
	case at > received:
		return received, true
	case at < oldest:
		return oldest, true
	}
	return at, false
}

// minus is a-b, kept within int64: a hostile clock may be anywhere.
func minus(a, b int64) int64 {
	switch d := a - b; {
	case b > 0 && d > a:
		return math.MinInt64
	case b < 0 && d < a:
		return math.MaxInt64
	default:
		return d
	}
}

// parseTime reads an RFC 3339 time with a capital T and Z, up to nine digits of a second and no
// leap second, as microseconds since the epoch; finer digits are cut off. It does what time.Parse
// would at a fraction of the cost.
func parseTime(s string) (us int64, ok bool) {
	if len(s) < 20 || s[4] != '-' || s[7] != '-' || s[10] != 'T' || s[13] != ':' || s[16] != ':' {
		return 0, false
	}
	year, month, day := digits(s[0:4]), digits(s[5:7]), digits(s[8:10])
	hour, minute, second := digits(s[11:13]), digits(s[14:16]), digits(s[17:19])
	if year < 0 || month < 1 || month > 12 || day < 1 || day > daysIn(year, month) ||
		hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 59 {
		return 0, false
	}
	us = ((daysSince1970(year, month, day)*24+hour)*60+minute)*60 + second
	us *= 1_000_000
	s = s[19:]
	if s[0] == '.' {
		n := 1
		for scale := int64(100_000); n < len(s) && '0' <= s[n] && s[n] <= '9'; n++ {
			us += int64(s[n]-'0') * scale
			scale /= 10
		}
		if n == 1 || n > 10 {
			return 0, false
		}
		s = s[n:]
	}
	if s == "Z" {
		return us, true
	}
	if len(s) != 6 || s[0] != '+' && s[0] != '-' || s[3] != ':' {
		return 0, false
	}
	hour, minute = digits(s[1:3]), digits(s[4:6])
	if hour < 0 || hour > 23 || minute < 0 || minute > 59 {
		return 0, false
	}
	offset := (hour*60 + minute) * 60_000_000
	if s[0] == '-' {
		offset = -offset
	}
	return us - offset, true
}

// digits reads a decimal number, -1 if it is none.
func digits(s string) int64 {
	var n int64
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return -1
		}
		n = n*10 + int64(s[i]-'0')
	}
	return n
}

func daysIn(year, month int64) int64 {
	switch month {
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	case 4, 6, 9, 11:
		return 30
	}
	return 31
}

// daysSince1970 counts the days of the proleptic Gregorian calendar. Years are taken to begin in
// March, so that the leap day is a year's last and the months before it follow one formula.
func daysSince1970(year, month, day int64) int64 {
	if month < 3 {
		year--
		month += 12
	}
	year += 400 // keeps the divisions below on positive numbers, for the year 0
	era := year / 400
	ofEra := year % 400
	dayOfYear := (153*(month-3)+2)/5 + day - 1
	const daysPerEra, daysTo1970 = 146_097, 719_468 + 146_097
	return era*daysPerEra + ofEra*365 + ofEra/4 - ofEra/100 + dayOfYear - daysTo1970
}
