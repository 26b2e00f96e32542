-- What was decided on each submission, and why.
-- like: decisions
FROM files.decisions
QUALIFY row_number() OVER (
  PARTITION BY site, visitor_id, submission_id ORDER BY topic_offset DESC
) = 1
