package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"crumbtrail/ingest"
	"crumbtrail/schemas"
)

func TestRedriveUsage(t *testing.T) {
	for _, args := range [][]string{
		{"--export", "a", "--from", "b"},
		{"--export", "a", "--dry-run"},
		{"--limit", "-1"},
		{"--format", "xml"},
		{"--since", "noon"},
		{"--handoffs", "--reason", "invalid_json"},
		{"--webhook", "crm"},
		{"file"},
	} {
		var out, errs bytes.Buffer
		args = append([]string{"redrive", "--data", t.TempDir()}, args...)
		if code := run(t.Context(), args, strings.NewReader(""), &out, &errs); code != exitUsage {
			t.Errorf("%v: exit code %d, %s", args, code, errs.String())
		}
	}
}

func TestRedriveFilters(t *testing.T) {
	at := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	b := &schemas.BadBeacon{
		BadBeaconId: "b1", Site: "acme", Protocol: "native", Reason: "invalid_json",
		ReceivedAtUs: at.UnixMicro(),
	}
	for name, c := range map[string]struct {
		r    redrive
		want bool
	}{
		"none":             {redrive{}, true},
		"its reason":       {redrive{reasons: "too_deep, invalid_json"}, true},
		"another reason":   {redrive{reasons: "invalid"}, false},
		"its site":         {redrive{sites: "acme"}, true},
		"another site":     {redrive{sites: "shop"}, false},
		"its protocol":     {redrive{protocols: "native"}, true},
		"another protocol": {redrive{protocols: "form"}, false},
		"its id":           {redrive{ids: "b0,b1"}, true},
		"another id":       {redrive{ids: "b0"}, false},
		"since then":       {redrive{since: at}, true},
		"since later":      {redrive{since: at.Add(time.Microsecond)}, false},
		"until then":       {redrive{until: at}, false},
		"until later":      {redrive{until: at.Add(time.Microsecond)}, true},
		"below the limit":  {redrive{limit: 2, done: 1}, true},
		"at the limit":     {redrive{limit: 2, done: 2}, false},
	} {
		if got := c.r.wants(b); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
	if receipt := (&schemas.BadBeacon{RedrivenAtUs: 1}); (&redrive{}).wants(receipt) {
		t.Error("a receipt is driven again")
	}
}

// Of each reason, what is read is taken, refused, not redrivable or was taken before; and however
// many reasons there are why it is not taken, all are counted and few are told.
func TestRedriveReport(t *testing.T) {
	var r redriveReport
	for n := range 40 {
		r.of("invalid_json").add(ingest.Redriven{Refused: []ingest.Rejection{
			{Reason: "wrong_type", Detail: "want a string", Path: "/" + strings.Repeat("x", n)},
		}})
	}
	r.of("invalid_json").add(ingest.Redriven{Accepted: 3})
	r.of("invalid_json").add(ingest.Redriven{Hopeless: "it is not there"})
	r.of("invalid_json").TakenBefore++
	r.of("a").add(ingest.Redriven{Accepted: 1, Refused: []ingest.Rejection{{Reason: "too_deep"}}})
	l := r.Reasons[0]
	if l.BadBeacons != 43 || l.Taken != 1 || l.Beacons != 3 || l.Refused != 40 ||
		l.NotRedrivable != 1 || l.TakenBefore != 1 {
		t.Errorf("%+v", l)
	}
	told := 0
	for _, why := range l.Why {
		told += why.Count
	}
	if told != 41 || len(l.Why) > mostWhys+1 {
		t.Errorf("%d are told of in %d lines", told, len(l.Why))
	}
	var out strings.Builder
	if err := r.print(&out, "table"); err != nil {
		t.Fatal(err)
	}
	if text := out.String(); !strings.Contains(text, "43      1           3             40") ||
		strings.Index(text, " a\n") > strings.Index(text, " invalid_json\n") ||
		!strings.Contains(text, "a: 1 × too_deep:") {
		t.Error(text)
	}
}
