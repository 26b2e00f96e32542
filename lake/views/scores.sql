-- Each subject's score by each model: of the greatest as_of, the latest run; all are in score_history.
-- like: scores
FROM files.scores
QUALIFY row_number() OVER (
  PARTITION BY model, subject_type, subject_id
  ORDER BY as_of DESC, run_at DESC, run_id DESC, topic_offset DESC
) = 1
