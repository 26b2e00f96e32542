-- The lines that add up to each score in scores, exactly.
-- like: score_explanations
FROM files.score_explanations
SEMI JOIN scores USING (model, subject_type, subject_id, topic_partition, topic_offset)
