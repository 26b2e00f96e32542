package lake

import (
	"fmt"
)

// freshView says how new what the lake has is, and how long it waited.
func freshView(manifests []*manifest) view {
	var values []string
	for _, m := range manifests {
		if f := m.Fresh; f != nil {
			values = append(values, fmt.Sprintf("(%s, %d, %d, %d, %d)", quote(m.Topic), m.Partition,
				f.OldestUs, f.NewestUs, f.PublishedUs))
		}
	}
	return view{
		name: "freshness",
		doc: "How new the newest rows of each partition of a topic are, and how long they waited for " +
			"the lake. A beacon is on its topic when its sender is answered, a visit as soon as it " +
			"is closed.",
		columns: []comment{
			{"topic", "Name of the topic."},
			{"topic_partition", "Partition of the topic."},
			{"oldest_at", "When the first of the rows that were published last came on the topic."},
			{"newest_at", "When the last of them did: all that came before it is in the lake."},
			{"published_at", "When they were published; the catalog shows them within a second or two."},
			{"waited_seconds", "From oldest_at to published_at: the most that one of them waited."},
		},
		query: "SELECT topic, topic_partition::INTEGER AS topic_partition,\n" +
			"  make_timestamptz(oldest::BIGINT) AS oldest_at,\n" +
			"  make_timestamptz(newest::BIGINT) AS newest_at,\n" +
			"  make_timestamptz(published::BIGINT) AS published_at,\n" +
			"  (published - oldest) / 1e6 AS waited_seconds\nFROM " +
			constants(values, "('', 0, 0, 0, 0)",
				"fresh(topic, topic_partition, oldest, newest, published)"),
	}
}
