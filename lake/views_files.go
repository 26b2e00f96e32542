package lake

import (
	"fmt"
	"strings"
)

// filesView lists the files that count, for whoever reads them without the views. It holds them as
// one text that only its own query takes apart: a constant for each would cost every connection.
func filesView(l layout, manifests []*manifest) view {
	var lines []string
	for _, m := range manifests {
		for _, f := range m.Files {
			lines = append(lines, fmt.Sprintf("%s %d %d %t", f.Path, f.Rows, f.Bytes, f.Compacted))
		}
	}
	return view{
		name: "lake_files", doc: "The Parquet files that this catalog reads, and no others.",
		columns: []comment{
			{"table_name", "Table that the file is of; without rows yet it has none."},
			{"dt", "UTC day of its rows."},
			{"topic", "Topic that they come from."},
			{"topic_partition", "Partition of the topic."},
			{"first_offset", "The first offset that it was made from."},
			{"last_offset", "The last offset that it was made from."},
			{"rows", "Rows in it."},
			{"bytes", "Size of it."},
			{"compacted", "True where it is of a day that was sorted; else its rows are as they came."},
			{"path", "Where it is."},
		},
		query: "SELECT part.table_name, part.dt::DATE AS dt, part.topic, " +
			"part.topic_partition::INTEGER AS topic_partition,\n" +
			"  part.first_offset::BIGINT AS first_offset, part.last_offset::BIGINT AS last_offset,\n" +
			"  split_part(line, ' ', 2)::BIGINT AS rows, split_part(line, ' ', 3)::BIGINT AS bytes,\n" +
			"  split_part(line, ' ', 4)::BOOLEAN AS compacted,\n" +
			"  " + quote(l.root()+"/") + " || split_part(line, ' ', 1) AS path\n" +
			"FROM (SELECT line, regexp_extract(line,\n" +
			`  '^([^/]+)/dt=([^/]+)/(.+)-(\d+)-(\d+)-(\d+)\.',` + "\n" +
			"  ['table_name', 'dt', 'topic', 'topic_partition', 'first_offset', 'last_offset']) AS part\n" +
			"  FROM (SELECT unnest(string_split(" + quote(strings.Join(lines, "\n")) +
			", chr(10))) AS line)\n  WHERE line <> '')",
	}
}
