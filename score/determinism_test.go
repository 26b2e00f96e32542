package score

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"crumbtrail/internal/duck"
	"crumbtrail/schemas"
)

// TestScoresDoNotDependOnThreadsOrFileOrder: the same facts in any order, by any number of
// threads, give the same bytes. There are two row groups of beacons, so that DuckDB shares them
// out, of which one in 20 scores, with a long fraction; each event id is there twice.
func TestScoresDoNotDependOnThreadsOrFileOrder(t *testing.T) {
	const subjects, rows = 50, 130_000
	m := Default()
	m.SalesReady.At, m.SalesReady.RearmBelow = 40*point, 0
	for i := range m.Rules {
		m.Rules[i].Where, m.Rules[i].CapPerDay, m.Rules[i].Cap = condition{}, nil, nil
	}
	var first []byte
	for i, threads := range []int{1, 2, 4} {
		l := newLake(t)
		l.child.Limits = duck.Limits{Threads: threads}
		l.inserts = []string{
			fmt.Sprintf("INSERT INTO contacts (contact_id, version, created_at, updated_at) "+
				"SELECT 'c' || i, 1, make_timestamptz(%d), make_timestamptz(%[1]d) "+
				"FROM range(%[2]d) AS r(i)", origin, subjects),
			fmt.Sprintf("INSERT INTO beacons (site, visitor_id, contact_id, event_id, type, url_path, "+
				"occurred_at, consent, topic_partition, topic_offset) SELECT 'acme', "+
				"'c' || hash(i) %% %d AS visitor, visitor, "+
				"'e' || i %% %d, if(hash(i + 1) %% 20 = 0, 'page_view', 'ping'), '/', "+
				"make_timestamptz(%d + (hash(i + 2) %% %d)::BIGINT), 'identified', 0, i "+
				"FROM range(%[2]d * 2) AS r(i) ORDER BY hash(i + %d)",
				subjects, rows/2, origin, 21*day, i),
		}
		var all []byte
		err := Run(t.Context(), m, time.UnixMicro(origin+int64(20*day)), time.UnixMicro(1), "run", l,
			func(s *schemas.Score) error {
				b, err := s.MarshalVT()
				all = append(all, b...)
				return err
			})
		if err != nil {
			t.Fatal(err)
		}
		if first == nil {
			first = all
		}
		if len(all) < rows/20 || !bytes.Equal(first, all) {
			t.Errorf("%d threads give %d bytes that differ from the first %d", threads, len(all),
				len(first))
		}
	}
}
