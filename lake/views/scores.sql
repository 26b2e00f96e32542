-- Each subject's score by each model: the latest run of the greatest as_of, of the runs that ended;
-- score_history has all, also those of contacts that others have taken over.
-- like: scores
FROM files.scores s
-- A run that ended has a record of its own; before there were any, each had ended.
WHERE ((run_id, model) IN (SELECT (run_id, model) FROM files.score_runs)
       OR run_at < (SELECT coalesce(min(run_at), 'infinity') FROM files.score_runs))
  AND NOT EXISTS (
    FROM aliases a
    WHERE subject_type = 'contact' AND subject_id = a.contact_id AND current_contact_id <> subject_id
  )
QUALIFY row_number() OVER (
  PARTITION BY model, subject_type, subject_id
  ORDER BY as_of DESC, run_at DESC, run_id DESC, topic_offset DESC
) = 1
