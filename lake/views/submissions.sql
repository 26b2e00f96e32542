-- Who somebody said to be, each time it was said. Personal data.
-- like: submissions
-- contact_id: The contact that it was decided to belong to; NULL: none, or not decided yet.
SELECT s.submission_id, d.contact_id, s.* EXCLUDE (submission_id, fields),
       TRY_CAST(fields AS JSON) AS fields
FROM (
  FROM files.submissions
  -- The id is the sender's own: two visitors may both have a 1.
  QUALIFY row_number() OVER (
    PARTITION BY site, visitor_id, submission_id ORDER BY topic_offset
  ) = 1
) s LEFT JOIN (
  SELECT site, coalesce(visitor_id, '') AS visitor, submission_id, contact_id FROM decisions
) d ON s.site = d.site AND coalesce(s.visitor_id, '') = d.visitor
   AND s.submission_id = d.submission_id
