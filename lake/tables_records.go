package lake

func recordsTable() *rowTable[recordRow] {
	type row = recordRow
	return define(
		"records", "Every version of every record: what submissions said of a person in one set of words. Personal data.",
		keyText(1, "record_id", "Id of the record, and of the contact that it makes alone.", func(r *row) string { return r.RecordId }),
		key(bigint(2, "number", "Records are numbered from 0 as they come in; the contact of several has the id of the least.", func(r *row) int64 { return r.Number })),
		text(3, "email", "E-mail address as it was given.", func(r *row) string { return r.Email }),
		text(4, "first_name", "First name as it was given.", func(r *row) string { return r.FirstName }),
		text(5, "last_name", "Last name as it was given.", func(r *row) string { return r.LastName }),
		text(6, "phone", "Telephone number as it was given.", func(r *row) string { return r.Phone }),
		text(7, "company", "Company as it was given.", func(r *row) string { return r.Company }),
		bigint(8, "submissions", "How many submissions have said this.", func(r *row) int64 { return r.Submissions }),
		text(9, "first_submission_id", "The first of them.", func(r *row) string { return r.FirstSubmissionId }),
		text(10, "last_submission_id", "The last of them.", func(r *row) string { return r.LastSubmissionId }),
		keyInstant(11, "first_at", "When the first came in.", func(r *row) int64 { return r.FirstAtUs }),
		dated(keyInstant(12, "last_at", "When the last came in.", func(r *row) int64 { return r.LastAtUs })),
		text(13, "site", "Key of the site that the first came from.", func(r *row) string { return r.Site }),
		text(14, "form", "Name of the form that the first came from.", func(r *row) string { return r.Form }),
		key(integer(15, "topic_partition", partitionDoc, func(r *row) int32 { return r.partition })),
		unique(key(bigint(16, "topic_offset", offsetDoc, func(r *row) int64 { return r.offset }))),
	)
}

func edgesTable() *rowTable[edgeRow] {
	type row = edgeRow
	return define(
		"edges", "Every version of what was known of two records.",
		keyText(1, "left_record_id", "The record with the lesser number.", func(r *row) string { return r.Left }),
		keyText(2, "right_record_id", "The other record.", func(r *row) string { return r.Right }),
		text(3, "verdict", "likely (the model), exact (a strategy), accepted or rejected (a person); NULL: nothing any more.", func(r *row) string { return r.Verdict.Name() }),
		double(4, "weight", "By the model: logarithm to base 2 of the odds that both are one.", func(r *row) float64 { return r.Weight }),
		double(5, "probability", "By the model: how probable it is that both are one.", func(r *row) float64 { return r.Probability }),
		text(6, "evidence", "Name of the strategy, what brought the pair together, or who decided.", func(r *row) string { return r.Evidence }),
		text(7, "model", "Name and version of the model.", func(r *row) string { return r.Model }),
		dated(keyInstant(8, "decided_at", "When it became known.", func(r *row) int64 { return r.DecidedAtUs })),
		text(9, "submission_id", "The submission or the review that it comes from.", func(r *row) string { return r.SubmissionId }),
		key(integer(10, "topic_partition", partitionDoc, func(r *row) int32 { return r.partition })),
		unique(key(bigint(11, "topic_offset", offsetDoc, func(r *row) int64 { return r.offset }))),
		text(12, "refused", "Why a likely pair was not joined although its probability suffices, as it was found.", func(r *row) string { return r.Refused }),
	)
}

func aliasesTable() *rowTable[aliasRow] {
	type row = aliasRow
	return define(
		"aliases", "Every version of which contact an id stands for.",
		keyText(1, "contact_id", "Id of a contact or of a record.",
			func(r *row) string { return r.ContactId }),
		text(2, "current_contact_id",
			"The contact that it stands for; itself where it stands for itself again.",
			func(r *row) string { return r.CurrentContactId }),
		dated(keyInstant(3, "since", "From when on.", func(r *row) int64 { return r.SinceUs })),
		text(4, "submission_id", "The submission or the review that it comes from.",
			func(r *row) string { return r.SubmissionId }),
		key(integer(5, "topic_partition", partitionDoc,
			func(r *row) int32 { return r.partition })),
		unique(key(bigint(6, "topic_offset", offsetDoc,
			func(r *row) int64 { return r.offset }))),
	)
}
