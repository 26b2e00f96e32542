-- Each subject's score by each model: the latest run of the greatest as_of; score_history has all,
-- also those of contacts that others have taken over.
-- like: scores
FROM files.scores s
WHERE NOT EXISTS (
  FROM aliases a
  WHERE subject_type = 'contact' AND subject_id = a.contact_id AND current_contact_id <> subject_id
)
QUALIFY row_number() OVER (
  PARTITION BY model, subject_type, subject_id
  ORDER BY as_of DESC, run_at DESC, run_id DESC, topic_offset DESC
) = 1
