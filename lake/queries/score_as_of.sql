-- Each subject's score as of a moment, from what was published: the latest run of the greatest as_of up to it.
-- A subject is the one that was scored, also if another one has taken it over since. What a run
-- of today would say of then: crumbtrail score --as-of; what it would have said then: --as-known.
-- $at TIMESTAMPTZ NULL: The moment; NULL: now.
-- $model VARCHAR NULL: Name of the model; NULL: all.
SELECT model, subject_type, subject_id, as_of, score, grade, sales_ready, run_at
FROM score_history
WHERE as_of <= coalesce($at, now()) AND ($model IS NULL OR model = $model)
QUALIFY row_number() OVER (
  PARTITION BY model, subject_type, subject_id ORDER BY as_of DESC, run_at DESC, run_id DESC
) = 1
ORDER BY model, score DESC, subject_type, subject_id
