package lake

func submissionsTable() *rowTable[submissionRow] {
	type row = submissionRow
	return define(
		"submissions", "Who somebody said to be, each time it was said. Personal data.",
		unique(keyText(1, "submission_id", "Event id of the submission's beacon.", func(r *row) string { return r.SubmissionId })),
		text(2, "kind", "form, sign_in, registration, signed_link, api, confirmation or review.", func(r *row) string { return r.Kind.Name() }),
		keyText(3, "site", "Key of the site.", func(r *row) string { return r.Site }),
		text(4, "visitor_id", "The browser that it came from.", func(r *row) string { return r.VisitorId }),
		text(5, "consent", "Consent that it came with.", func(r *row) string { return r.Consent.Name() }),
		keyInstant(6, "received_at", "The collector's clock when it came in.", func(r *row) int64 { return r.ReceivedAtUs }),
		dated(keyInstant(7, "occurred_at", "When it happened.", func(r *row) int64 { return r.OccurredAtUs })),
		text(8, "form", "Name of the form.", func(r *row) string { return r.Form }),
		text(9, "url", "Address of the page.", func(r *row) string { return r.Url }),
		text(10, "email", "E-mail address as it was given.", func(r *row) string { return r.Email }),
		text(11, "first_name", "First name as it was given.", func(r *row) string { return r.FirstName }),
		text(12, "last_name", "Last name as it was given.", func(r *row) string { return r.LastName }),
		text(13, "phone", "Telephone number as it was given.", func(r *row) string { return r.Phone }),
		text(14, "company", "Company as it was given.", func(r *row) string { return r.Company }),
		jsonText(15, "fields", "Every field as it was sent, secrets left out.", func(r *row) []byte { return r.Fields }),
		text(16, "protocol", "How it came in.", func(r *row) string { return r.Protocol }),
		key(integer(17, "topic_partition", partitionDoc, func(r *row) int32 { return r.partition })),
		unique(key(bigint(18, "topic_offset", offsetDoc, func(r *row) int64 { return r.offset }))),
		instant(19, "confirm_until", "When it must be confirmed by mail, to count; NULL: it counts at once.", func(r *row) int64 { return r.ConfirmUntilUs }),
		text(20, "confirms", "Of a confirmation: the submission that it confirms.", func(r *row) string { return r.Confirms }),
		text(21, "spam_rule", "Name of the rule that takes its sender for a bot.", func(r *row) string { return r.SpamRule }),
		jsonText(22, "consents", "What it says of consent: a list of purpose, state (granted or refused) and the form's field.", func(r *row) []byte { return consentsJSON(r.Consents) }),
		text(23, "recipient", "The contact that the signed link was made for which somebody followed.", func(r *row) string { return r.Recipient }),
		jsonText(24, "review", "Of a review: verdict, left, right, records, withdraws, by and note.", func(r *row) []byte { return reviewJSON(r.Review) }),
	)
}

func contactsTable() *rowTable[contactRow] {
	type row = contactRow
	return define(
		"contacts", "Every version of every contact. Personal data.",
		keyText(1, "contact_id", "Id of its oldest record.", func(r *row) string { return r.ContactId }),
		key(bigint(2, "version", "Grows by one with each change.", func(r *row) int64 { return r.Version })),
		instant(3, "created_at", "When the contact was made.", func(r *row) int64 { return r.CreatedAtUs }),
		dated(keyInstant(4, "updated_at", "When this version was made.", func(r *row) int64 { return r.UpdatedAtUs })),
		text(5, "email", "E-mail address, normalised.", func(r *row) string { return r.Email }),
		text(6, "first_name", "First name.", func(r *row) string { return r.FirstName }),
		text(7, "last_name", "Last name.", func(r *row) string { return r.LastName }),
		text(8, "phone", "Telephone number.", func(r *row) string { return r.Phone }),
		text(9, "company", "Company.", func(r *row) string { return r.Company }),
		bigint(10, "submissions", "How many submissions it was made from.", func(r *row) int64 { return r.Submissions }),
		unique(text(11, "submission_id", "The last submission in it.", func(r *row) string { return r.SubmissionId })),
		key(integer(12, "topic_partition", partitionDoc, func(r *row) int32 { return r.partition })),
		unique(key(bigint(13, "topic_offset", offsetDoc, func(r *row) int64 { return r.offset }))),
		bigint(14, "records", "How many records it is made of.", func(r *row) int64 { return r.Records }),
		text(15, "merged_into", "The contact that had taken it over; NULL: it stood for itself.", func(r *row) string { return r.MergedInto }),
	)
}

func identitiesTable() *rowTable[identityRow] {
	type row = identityRow
	return define(
		"identities", "Every edge from a visitor to a contact.",
		keyText(1, "site", "Key of the site.", func(r *row) string { return r.Site }),
		keyText(2, "visitor_id", "The browser on that site.", func(r *row) string { return r.VisitorId }),
		keyText(3, "contact_id", "The contact that it belongs to.", func(r *row) string { return r.ContactId }),
		instant(4, "valid_from", "Visits that began from here on belong to the contact; NULL: without limit.", func(r *row) int64 { return r.ValidFromUs }),
		dated(keyInstant(5, "linked_at", "When the edge became known.", func(r *row) int64 { return r.LinkedAtUs })),
		text(6, "evidence", "What it rests on: form, sign_in, registration, signed_link or api; erased: it is nobody's.", func(r *row) string { return r.Evidence }),
		unique(text(7, "submission_id", "The submission that it rests on.", func(r *row) string { return r.SubmissionId })),
		key(integer(8, "topic_partition", partitionDoc, func(r *row) int32 { return r.partition })),
		unique(key(bigint(9, "topic_offset", offsetDoc, func(r *row) int64 { return r.offset }))),
		text(10, "record_id", "The record that its submission made or repeated: the visitor is always whoever has it.", func(r *row) string { return r.RecordId }),
	)
}

func decisionsTable() *rowTable[decisionRow] {
	type row = decisionRow
	return define(
		"decisions", "What was decided on each submission, and why.",
		unique(keyText(1, "submission_id", "The submission.", func(r *row) string { return r.SubmissionId })),
		text(2, "site", "Key of the site.", func(r *row) string { return r.Site }),
		text(3, "visitor_id", "The browser that it came from.", func(r *row) string { return r.VisitorId }),
		text(4, "contact_id", "The contact that it went to.", func(r *row) string { return r.ContactId }),
		text(5, "outcome", "matched, created, review, unresolved, pending, confirmed, expired or spam; of a review accepted, rejected, split, withdrawn or refused.", func(r *row) string { return r.Outcome.Name() }),
		text(6, "strategy", "Name of the strategy that decided.", func(r *row) string { return r.Strategy }),
		text(7, "reason", "Why, in a sentence.", func(r *row) string { return r.Reason }),
		dated(keyInstant(8, "decided_at", "When it was decided.", func(r *row) int64 { return r.DecidedAtUs })),
		key(integer(9, "topic_partition", partitionDoc, func(r *row) int32 { return r.partition })),
		unique(key(bigint(10, "topic_offset", offsetDoc, func(r *row) int64 { return r.offset }))),
		text(11, "resolution", "Of a confirmed one: matched, created or unresolved.", func(r *row) string { return r.Resolution.Name() }),
		text(12, "record_id", "The record that the submission made or repeated; NULL: it names nobody.", func(r *row) string { return r.RecordId }),
		double(13, "weight", "Of the likeliest pair: logarithm to base 2 of the odds that both are one; NULL: a strategy decided.", func(r *row) float64 { return r.Weight }),
		double(14, "probability", "Of the likeliest pair: how probable it is that both are one.", func(r *row) float64 { return r.Probability }),
		jsonText(15, "runners_up", "Other contacts that it could have been, as they were then: a list of contact_id, record_id, weight, probability and reason.", func(r *row) []byte { return candidatesJSON(r.RunnersUp) }),
		jsonText(16, "comparison", "How the probability comes about: a list of attribute, level, weight, rarity and note.", func(r *row) []byte { return evidenceJSON(r.Evidence) }),
		jsonText(17, "merged", "Contacts that contact_id took over.", func(r *row) []byte { return listJSON(r.Merged) }),
		jsonText(18, "parted", "Contacts that stand for themselves again.", func(r *row) []byte { return listJSON(r.Parted) }),
		text(19, "model", "Name and version of the model that compared.", func(r *row) string { return r.Model }),
		text(20, "decided_by", "Of a review: who decided.", func(r *row) string { return r.By }),
	)
}

func scoresTable() *rowTable[scoreRow] {
	type row = scoreRow
	return define(
		"scores", "Every score of every run.",
		keyText(1, "model", "Name of the model.", func(r *row) string { return r.Model }),
		key(bigint(2, "version", "Version of the model.", func(r *row) int64 { return r.Version })),
		keyText(3, "subject_type", "contact, visitor or account.", func(r *row) string { return r.SubjectType }),
		keyText(4, "subject_id", "Id of the subject.", func(r *row) string { return r.SubjectId }),
		dated(keyInstant(5, "as_of", "The moment that the score is of.", func(r *row) int64 { return r.AsOfUs })),
		decimal(6, "score", "The score.", 9, 2, func(r *row) int64 { return r.ScoreHundredths }),
		text(7, "grade", "Name of the range that the score is in.", func(r *row) string { return r.Grade }),
		boolean(8, "sales_ready", "True from when the score has reached the model's line.", func(r *row) bool { return r.SalesReady }),
		text(9, "run_id", "The run that published it.", func(r *row) string { return r.RunId }),
		keyInstant(10, "run_at", "When that run was.", func(r *row) int64 { return r.RunAtUs }),
		text(11, "model_sha256", "SHA-256 of the model's canonical form.", func(r *row) string { return r.ModelSha256 }),
		key(integer(12, "topic_partition", partitionDoc, func(r *row) int32 { return r.partition })),
		unique(key(bigint(13, "topic_offset", offsetDoc, func(r *row) int64 { return r.offset }))),
	)
}

func explanationsTable() *rowTable[explanationRow] {
	type row = explanationRow
	return define(
		"score_explanations", "The lines that add up to each score, exactly.",
		keyText(1, "model", "Name of the model.", func(r *row) string { return r.Model }),
		key(bigint(2, "version", "Version of the model.", func(r *row) int64 { return r.Version })),
		keyText(3, "subject_type", "contact, visitor or account.", func(r *row) string { return r.SubjectType }),
		keyText(4, "subject_id", "Id of the subject.", func(r *row) string { return r.SubjectId }),
		dated(keyInstant(5, "as_of", "The moment that the score is of.", func(r *row) int64 { return r.AsOfUs })),
		keyText(6, "rule", "Id of the rule, or what took points away: clip:..., round.", func(r *row) string { return r.Rule }),
		text(7, "event_id", "The event that the points are for; NULL for attributes and clips.", func(r *row) string { return r.EventId }),
		decimal(8, "points", "Points of this line.", 18, 6, func(r *row) int64 { return r.PointsMicros }),
		key(integer(9, "ordinal", "Place of the line in the explanation, from 1.", func(r *row) int32 { return r.ordinal })),
		text(10, "run_id", "The run that published it.", func(r *row) string { return r.RunId }),
		key(integer(11, "topic_partition", partitionDoc, func(r *row) int32 { return r.partition })),
		unique(key(bigint(12, "topic_offset", offsetDoc, func(r *row) int64 { return r.offset }))),
	)
}

func scoreRunsTable() *rowTable[scoreRunRow] {
	type row = scoreRunRow
	return define(
		"score_runs", "Every run of every model: what was scored, and from what.",
		keyText(1, "run_id", "The run.", func(r *row) string { return r.RunId }),
		keyText(2, "model", "Name of the model.", func(r *row) string { return r.Model }),
		key(bigint(3, "version", "Version of the model.", func(r *row) int64 { return r.Version })),
		keyText(4, "subject_type", "contact, visitor or account.", func(r *row) string { return r.SubjectType }),
		dated(keyInstant(5, "as_of", "The moment that the scores are of.", func(r *row) int64 { return r.AsOfUs })),
		keyInstant(6, "run_at", "When the run was.", func(r *row) int64 { return r.RunAtUs }),
		key(bigint(7, "scores", "How many scores it published.", func(r *row) int64 { return r.Run.Scores })),
		text(8, "model_sha256", "SHA-256 of the model's canonical form.", func(r *row) string { return r.ModelSha256 }),
		text(9, "model_file", "The model's file as it was read.", func(r *row) string { return string(r.Run.ModelFile) }),
		jsonText(10, "snapshot", "How far the lake had come that was scored: next offsets by topic and partition.", func(r *row) []byte { return snapshotJSON(r.Run.Snapshot) }),
		key(integer(11, "topic_partition", partitionDoc, func(r *row) int32 { return r.partition })),
		unique(key(bigint(12, "topic_offset", offsetDoc, func(r *row) int64 { return r.offset }))),
	)
}
