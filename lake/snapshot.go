package lake

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"crumbtrail/schemas"
)

// Snapshot is the lake as it was known at an earlier moment. Rows are only ever added, at the
// offsets of their records, so that what was there is what has lower offsets. What was erased since
// is in no snapshot. The zero Snapshot is all that there is.
type Snapshot struct {
	// Positions says how far each partition of a topic had come; where it is nil, all counts. A
	// partition that it lacks had nothing.
	Positions []*schemas.TopicPosition
	// Known leaves out what has become known of persons since then: edges from visitors, and whose
	// a record is. The zero time leaves out nothing.
	Known time.Time
}

// BuildSnapshot makes a catalog at path, which shows of the lake in a data directory what is in
// the snapshot. Its files stay where they are.
func BuildSnapshot(ctx context.Context, data string, c Catalog, path string, s Snapshot) error {
	data, err := filepath.Abs(data)
	if err != nil {
		return fmt.Errorf("build catalog of a snapshot: %w", err)
	}
	l := layout{data}
	manifests, err := linkPublisher{l, osDisk{}}.all()
	if err == nil {
		err = c.Build(ctx, path, catalogOf(l, manifests, 0, s))
	}
	if err != nil {
		return fmt.Errorf("build catalog of a snapshot: %w", err)
	}
	return nil
}

// where is the condition on the rows of a table that the topics are in, with the word before it.
func (s Snapshot) where(table string, topics []string) string {
	var all []string
	if s.Positions != nil {
		all = append(all, s.positions(topics))
	}
	since := map[string]string{"identities": "linked_at", "aliases": "since"}[table]
	if since != "" && !s.Known.IsZero() {
		all = append(all, fmt.Sprintf("%s <= make_timestamptz(%d)", since, s.Known.UnixMicro()))
	}
	if len(all) == 0 {
		return ""
	}
	return "\nWHERE " + strings.Join(all, " AND ")
}

func (s Snapshot) positions(topics []string) string {
	var parts []string
	for _, p := range s.Positions {
		in := fmt.Sprintf("topic_partition = %d AND topic_offset < %d", p.Partition, p.NextOffset)
		switch {
		case !slices.Contains(topics, p.Topic):
			continue
		case len(topics) > 1: // then its rows say where they are from
			in = fmt.Sprintf("topic = %s AND %s", quote(p.Topic), in)
		}
		parts = append(parts, in)
	}
	if len(parts) == 0 {
		return "false"
	}
	return "(" + strings.Join(parts, "\n  OR ") + ")"
}

// snapshotJSON writes positions as {"TOPIC": {"PARTITION": NEXT_OFFSET}}.
func snapshotJSON(positions []*schemas.TopicPosition) []byte {
	topics := map[string]map[int32]int64{}
	for _, p := range positions {
		if topics[p.Topic] == nil {
			topics[p.Topic] = map[int32]int64{}
		}
		topics[p.Topic][p.Partition] = p.NextOffset
	}
	return encodeJSON(topics)
}
