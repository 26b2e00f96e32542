package benchmarks

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"crumbtrail/benchmarks/people"
	"crumbtrail/internal/kafka"
	"crumbtrail/schemas"
)

func TestArrivals(t *testing.T) {
	began := time.Now()
	a := &arrivals{
		due:  map[string]time.Time{"a": began, "b": began.Add(time.Second)},
		want: 2, finished: make(chan struct{}),
	}
	a.take([]kafka.Record{{Key: []byte("b")}, {Key: []byte("other")}}, began.Add(3*time.Second))
	select {
	case <-a.finished:
		t.Fatal("one of two is taken for all")
	default:
	}
	a.take([]kafka.Record{{Key: []byte("a")}, {Key: []byte("b")}}, began.Add(4*time.Second))
	<-a.finished
	if len(a.took) != 2 || a.took[0] != 2*time.Second || a.took[1] != 4*time.Second {
		t.Errorf("they took %v", a.took)
	}
}

// TestDecide holds that the child decides and times, and that a contact's submission has its words.
func TestDecide(t *testing.T) {
	var stdout strings.Builder
	if err := decide([]string{"300"}, &stdout); err != nil {
		t.Fatal(err)
	}
	var c Core
	if err := json.Unmarshal([]byte(stdout.String()), &c); err != nil || c.DecisionMS.Max <= 0 {
		t.Errorf("%s: %v", stdout.String(), err)
	}
	for _, args := range [][]string{nil, {"x"}} {
		if decide(args, &stdout) == nil {
			t.Errorf("%v is no number", args)
		}
	}
	row := people.Make(people.Config{Rows: 1, Seed: 1})[0]
	m := message(row, began())
	var s schemas.Submission
	if err := s.UnmarshalVT(m.Value); err != nil || s.Email != row.Fields[people.Email] ||
		s.SubmissionId != row.Fields[people.Number] || s.LastName != row.Fields[people.Family] {
		t.Errorf("%v: %v, %v", row, &s, err)
	}
}

func began() time.Time { return time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC) }
