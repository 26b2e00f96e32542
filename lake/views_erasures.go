package lake

import (
	"fmt"
	"maps"
	"slices"
)

// erased is how many rows the partition has less for erasures.
func (m *manifest) erased() (rows int64) {
	for _, tables := range m.Erased {
		for _, n := range tables {
			rows += n
		}
	}
	return rows
}

// erasedView says what each erasure has taken out of each partition.
func erasedView(manifests []*manifest) view {
	var values []string
	for _, m := range manifests {
		for _, request := range slices.Sorted(maps.Keys(m.Erased)) {
			tables := m.Erased[request]
			for _, table := range slices.Sorted(maps.Keys(tables)) {
				values = append(values, fmt.Sprintf("(%s, %s, %s, %d, %d)", quote(request), quote(table),
					quote(m.Topic), m.Partition, tables[table]))
			}
		}
	}
	return view{
		name: "_erased", doc: "Rows that erasures took out, by table and partition.",
		query: "SELECT request_id, table_name, topic, topic_partition::INTEGER AS topic_partition, " +
			"rows::BIGINT AS rows\nFROM " + constants(values, "('', '', '', 0, 0)",
			"erased(request_id, table_name, topic, topic_partition, rows)"),
	}
}

// erasedToView says how many erasures are out of the files of all partitions.
func erasedToView(manifests []*manifest) view {
	to := int64(0)
	for i, m := range manifests {
		if i == 0 || m.ErasedTo < to {
			to = m.ErasedTo
		}
	}
	return view{
		name: "_erased_to", doc: "The offset of erasures before which all are out of all files.",
		query: fmt.Sprintf("SELECT %d::BIGINT AS next_offset", to),
	}
}
