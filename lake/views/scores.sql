-- Each subject's score by each model: the latest run of the greatest as_of; score_history has all.
-- like: scores
FROM files.scores
QUALIFY row_number() OVER (
  PARTITION BY model, subject_type, subject_id
  ORDER BY as_of DESC, run_at DESC, run_id DESC, topic_offset DESC
) = 1
