package main

import (
	"testing"
	"time"

	"crumbtrail/benchmarks/traffic"
)

func TestDemoDays(t *testing.T) {
	at := func(s string) time.Time {
		t.Helper()
		when, err := time.Parse("2006-01-02T15:04", s)
		if err != nil {
			t.Fatal(err)
		}
		return when
	}
	now := at("2026-11-24T17:00")
	for _, c := range []struct {
		what   string
		cfg    traffic.Config
		seen   string
		now    time.Time
		start  string
		days   int
		nobody bool
	}{
		{"a fresh directory gets the days before today", traffic.Config{}, "", now, "2026-11-20T00:00", 4, false},
		{"just after midnight the day before counts as today", traffic.Config{}, "", at("2026-11-24T01:00"), "2026-11-19T00:00", 4, false},
		{"as many as asked for", traffic.Config{Days: 2}, "", now, "2026-11-22T00:00", 2, false},
		{"the start that was asked for", traffic.Config{Start: at("2026-01-05T00:00")}, "", now, "2026-01-05T00:00", 0, false},
		{"only what is missing", traffic.Config{}, "2026-11-22T00:07", now, "2026-11-23T00:00", 1, false},
		{"an old directory", traffic.Config{}, "2026-01-09T00:07", now, "2026-11-20T00:00", 4, false},
		{"nothing is missing", traffic.Config{}, "2026-11-24T00:07", now, "", 0, true},
		{"live traffic came since", traffic.Config{}, "2026-11-24T16:59", now, "", 0, true},
	} {
		var seen time.Time
		if c.seen != "" {
			seen = at(c.seen)
		}
		cfg, some := demoDays(c.cfg, seen, c.seen != "", c.now)
		if some == c.nobody {
			t.Errorf("%s: some is %t", c.what, some)
		}
		if some && (!cfg.Start.Equal(at(c.start)) || cfg.Days != c.days) {
			t.Errorf("%s: %s for %d days, want %s for %d", c.what, cfg.Start, cfg.Days, c.start, c.days)
		}
	}
}
