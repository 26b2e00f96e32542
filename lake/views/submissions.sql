-- Who somebody said to be, each time it was said. Personal data.
-- like: submissions
-- contact_id: The contact that it was decided to belong to; NULL: none, or not decided yet.
SELECT submission_id, contact_id, s.* EXCLUDE (submission_id, fields),
       TRY_CAST(fields AS JSON) AS fields
FROM (
  FROM files.submissions
  QUALIFY row_number() OVER (PARTITION BY site, submission_id ORDER BY topic_offset) = 1
) s LEFT JOIN (SELECT submission_id, contact_id FROM decisions) USING (submission_id)
