package ingest

import (
	"math"
	"math/big"
	"testing"
	"time"
)

func TestOccurred(t *testing.T) {
	const maxAge = 7 * 24 * time.Hour
	received := at(t, "2026-06-01T12:00:00Z")
	oldest := at(t, "2026-05-25T12:00:00Z")
	for _, tc := range []struct {
		name          string
		created, sent int64
		want          int64
		clamped       bool
	}{
		{"silent client", 0, 0, received, false},
		{"sent alone", 0, at(t, "2026-06-01T11:00:00Z"), received, false},
		{
			"right clock, a minute ago", at(t, "2026-06-01T11:58:59Z"), at(t, "2026-06-01T11:59:59Z"),
			at(t, "2026-06-01T11:59:00Z"), false,
		},
		{
			"clock 25 years ahead, a minute ago", at(t, "2051-06-01T11:59:00Z"),
			at(t, "2051-06-01T12:00:00Z"), at(t, "2026-06-01T11:59:00Z"), false,
		},
		{
			"clock in 1970, a minute ago", at(t, "1970-01-01T00:01:00Z"), at(t, "1970-01-01T00:02:00Z"),
			at(t, "2026-06-01T11:59:00Z"), false,
		},
		{
			"clock before 1970", at(t, "1969-12-31T23:58:00Z"), at(t, "1969-12-31T23:59:00Z"),
			at(t, "2026-06-01T11:59:00Z"), false,
		},
		{
			"clock set back between the two", at(t, "2026-06-01T11:59:00Z"),
			at(t, "2026-06-01T11:00:00Z"), received, true,
		},
		{
			"exactly the greatest age", at(t, "2020-01-01T00:00:00Z"), at(t, "2020-01-08T00:00:00Z"),
			oldest, false,
		},
		{
			"a microsecond older", at(t, "2020-01-01T00:00:00Z") - 1, at(t, "2020-01-08T00:00:00Z"),
			oldest, true,
		},
		{
			"clock set forward 25 years between the two", at(t, "2026-06-01T11:59:00Z"),
			at(t, "2051-06-01T12:00:00Z"), oldest, true,
		},
		{
			"created alone, in range", at(t, "2026-06-01T11:00:00Z"), 0,
			at(t, "2026-06-01T11:00:00Z"), false,
		},
		{"created alone, just now", received, 0, received, false},
		{"created alone, at the greatest age", oldest, 0, oldest, false},
		{"created alone, too old", oldest - 1, 0, received, true},
		{"created alone, in the future", received + 1, 0, received, true},
		{"created alone, 25 years ahead", at(t, "2051-06-01T12:00:00Z"), 0, received, true},
		{"created alone, 1970", at(t, "1970-01-01T00:00:01Z"), 0, received, true},
		{"difference beyond an int64", math.MinInt64, math.MaxInt64, oldest, true},
		{"difference beyond an int64, turned round", math.MaxInt64, math.MinInt64, received, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			us, clamped := occurred(received, tc.created, tc.sent, maxAge)
			if us != tc.want || clamped != tc.clamped {
				t.Errorf("got %v %v, want %v %v", time.UnixMicro(us).UTC(), clamped,
					time.UnixMicro(tc.want).UTC(), tc.clamped)
			}
		})
	}
}

func at(t *testing.T, text string) int64 {
	t.Helper()
	when, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatal(err)
	}
	return when.UnixMicro()
}

// FuzzOccurred holds the result to its bounds and to the formula in numbers without an end.
func FuzzOccurred(f *testing.F) {
	f.Add(int64(1_780_000_000_000_000), int64(1), int64(2), int64(time.Hour))
	f.Add(int64(0), int64(math.MinInt64), int64(math.MaxInt64), int64(0))
	f.Add(int64(math.MinInt64), int64(math.MaxInt64), int64(-1), int64(math.MaxInt64))
	f.Fuzz(func(t *testing.T, received, created, sent, age int64) {
		if age < 0 {
			return
		}
		maxAge := time.Duration(age)
		us, clamped := occurred(received, created, sent, maxAge)
		oldest := minus(received, maxAge.Microseconds())
		if us > received || us < oldest {
			t.Fatalf("occurred(%d, %d, %d, %v) = %d, outside its bounds",
				received, created, sent, maxAge, us)
		}
		if created == 0 || sent == 0 {
			return
		}
		exact := new(big.Int).Sub(big.NewInt(sent), big.NewInt(created))
		exact.Sub(big.NewInt(received), exact)
		within := exact.Cmp(big.NewInt(oldest)) >= 0 && exact.Cmp(big.NewInt(received)) <= 0
		if within == clamped || within && exact.Int64() != us {
			t.Fatalf("occurred(%d, %d, %d, %v) = %d, %v; the formula gives %v",
				received, created, sent, maxAge, us, clamped, exact)
		}
	})
}

func TestParseTime(t *testing.T) {
	for _, text := range []string{
		"2026-01-01T00:00:00Z", "2026-01-01T00:00:00.1Z", "2026-12-31T23:59:59.999999999+14:00",
		"1970-01-01T00:00:00Z", "1969-12-31T23:59:59.5Z", "0000-01-01T00:00:00Z",
		"0001-03-01T00:00:00-23:59", "9999-12-31T23:59:59Z", "2024-02-29T12:00:00Z",
		"2000-02-29T12:00:00Z", "2026-02-29T12:00:00Z", "1900-02-29T12:00:00Z",
		"2026-04-31T00:00:00Z", "2026-00-01T00:00:00Z", "2026-13-01T00:00:00Z",
		"2026-01-00T00:00:00Z", "2026-01-01T24:00:00Z", "2026-01-01T00:60:00Z",
		"2026-01-01T00:00:60Z", "2026-01-01T00:00:00", "2026-01-01T00:00:00.Z",
		"2026-01-01T00:00:00+23:59", "2026-01-01T00:00:00+0100", "2026-01-01 00:00:00Z",
		"2026-01-01T00:00:00*01:00", "+026-01-01T00:00:00Z", "2026-1-01T00:00:00ZZ", "now", "",
	} {
		sameAsStandard(t, text)
	}
	// RFC 3339 has no such offsets, though time.Parse takes them.
	for _, text := range []string{"2026-01-01T00:00:00+24:00", "2026-01-01T00:00:00+01:60"} {
		if us, ok := parseTime(text); ok {
			t.Errorf("parseTime(%q) = %d", text, us)
		}
	}
	for day := at(t, "1582-01-01T00:00:00Z"); day < at(t, "2500-01-01T00:00:00Z"); {
		sameAsStandard(t, time.UnixMicro(day).UTC().Format(time.RFC3339Nano))
		day += 86_400_000_001 * 11
	}
}

func sameAsStandard(t *testing.T, text string) {
	t.Helper()
	us, ok := parseTime(text)
	want, err := time.Parse(time.RFC3339Nano, text)
	if ok != (err == nil) || ok && us != want.UnixMicro() {
		t.Errorf("parseTime(%q) = %d %v, the standard library says %v %v", text, us, ok, want, err)
	}
}
