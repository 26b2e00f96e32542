package lake

func handoffsTable() *rowTable[handoffRow] {
	type row = handoffRow
	return define(
		"handoffs", "Who became ready for sales, once for each time that they did.",
		unique(keyText(1, "handoff_id", "UUIDv5 of model, subject type, subject and episode.", func(r *row) string { return r.HandoffId })),
		keyText(2, "model", "Name of the model.", func(r *row) string { return r.Model }),
		key(bigint(3, "version", "Version of the model.", func(r *row) int64 { return r.Version })),
		keyText(4, "subject_type", "contact, visitor or account.", func(r *row) string { return r.SubjectType }),
		keyText(5, "subject_id", "Id of the subject, as of then.", func(r *row) string { return r.SubjectId }),
		keyInstant(6, "episode", "The instant of the model's grid at which it was ready first.", func(r *row) int64 { return r.EpisodeUs }),
		keyInstant(7, "became_ready_at", "When it became ready: the episode, or as_of where that comes first.", func(r *row) int64 { return r.AtUs }),
		keyInstant(8, "as_of", "The moment that the score is of.", func(r *row) int64 { return r.AsOfUs }),
		dated(keyInstant(9, "handed_off_at", "When the run was that found it.", func(r *row) int64 { return r.RunAtUs })),
		text(10, "run_id", "That run.", func(r *row) string { return r.RunId }),
		decimal(11, "score", "The score.", 9, 2, func(r *row) int64 { return r.ScoreHundredths }),
		text(12, "grade", "Name of the range that the score is in.", func(r *row) string { return r.Grade }),
		jsonText(13, "reasons", "What the score is made of, the weightiest first: a list of rule, events and points.", func(r *row) []byte { return reasonsJSON(r.Reasons) }),
		text(14, "model_sha256", "SHA-256 of the model's canonical form.", func(r *row) string { return r.ModelSha256 }),
		key(integer(15, "topic_partition", partitionDoc, func(r *row) int32 { return r.partition })),
		unique(key(bigint(16, "topic_offset", offsetDoc, func(r *row) int64 { return r.offset }))),
	)
}

func deliveriesTable() *rowTable[deliveryRow] {
	type row = deliveryRow
	return define(
		"handoff_deliveries", "What became of hand-offs at webhooks.",
		keyText(1, "handoff_id", "The hand-off.", func(r *row) string { return r.HandoffId }),
		keyText(2, "webhook", "Name of the webhook.", func(r *row) string { return r.Webhook }),
		text(3, "outcome", "delivered, or expired: nobody took it in time.", func(r *row) string { return r.Outcome.Name() }),
		dated(keyInstant(4, "ended_at", "When it was taken, or given up.", func(r *row) int64 { return r.AtUs })),
		key(bigint(5, "attempts", "How often it was sent by the process that ended it.", func(r *row) int64 { return r.Attempts })),
		integer(6, "status", "HTTP status of the last answer; 0: there was none.", func(r *row) int32 { return r.Status }),
		text(7, "detail", "What went wrong last.", func(r *row) string { return r.Detail }),
		key(integer(8, "topic_partition", partitionDoc, func(r *row) int32 { return r.partition })),
		unique(key(bigint(9, "topic_offset", offsetDoc, func(r *row) int64 { return r.offset }))),
	)
}
