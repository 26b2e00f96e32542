-- Every score of every run: also the earlier moments and runs that scores hides.
-- like: scores
FROM files.scores
QUALIFY row_number() OVER (
  PARTITION BY model, version, subject_type, subject_id, as_of, run_id ORDER BY topic_offset DESC
) = 1
