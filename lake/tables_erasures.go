package lake

import "crumbtrail/schemas"

func erasuresTable() *rowTable[erasureRow] {
	type row = erasureRow
	return define(
		"erasures", "Every request by which a person was erased. No personal data.",
		unique(keyText(1, "request_id", "Id of the request.",
			func(r *row) string { return r.RequestId })),
		dated(keyInstant(2, "erased_at", "When it was made.",
			func(r *row) int64 { return r.ErasedAtUs })),
		text(3, "erased_by", "Who carried it out.", func(r *row) string { return r.By }),
		text(4, "note", "What they said of it.", func(r *row) string { return r.Note }),
		bigint(5, "contacts", "How many contacts the person was.",
			func(r *row) int64 { return r.Contacts }),
		bigint(6, "records", "How many records these were made of.",
			func(r *row) int64 { return int64(len(r.Records)) }),
		bigint(7, "visitors", "How many browsers were theirs, at least for a time.",
			func(r *row) int64 { return visitorsOf(r.Erasure) }),
		bigint(8, "identities", "How many edges led from those to them.",
			func(r *row) int64 { return r.Identities }),
		bigint(9, "edges", "How many pairs the records were in.",
			func(r *row) int64 { return r.Edges }),
		bigint(10, "pending", "How many submissions waited for their confirmation.",
			func(r *row) int64 { return r.Pending }),
		key(integer(11, "topic_partition", partitionDoc,
			func(r *row) int32 { return r.partition })),
		unique(key(bigint(12, "topic_offset", offsetDoc,
			func(r *row) int64 { return r.offset }))),
	)
}

// visitorsOf counts the browsers of an erasure.
func visitorsOf(e *schemas.Erasure) int64 {
	all := map[string]bool{}
	for _, v := range e.Visitors {
		all[visitorKey(v.Site, v.VisitorId)] = true
	}
	return int64(len(all))
}
