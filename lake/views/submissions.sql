-- Who somebody said to be, each time it was said. Personal data.
-- like: submissions
-- without: confirms, review
-- contact_id: The contact that it was decided to belong to, as of now; NULL: none, or not decided
-- yet.
-- record_id: The record that it made or repeated.
-- confirmation: Of a double opt-in, pending, confirmed or expired, as of now; NULL: none is asked
-- for, or nobody can be asked.
-- confirmed_at: When it was confirmed.
-- is_spam: True where a rule takes its sender for a bot.
SELECT s.submission_id, d.contact_id, d.record_id,
       CASE WHEN confirm_until IS NULL OR spam_rule IS NOT NULL OR d.outcome = 'unresolved' THEN NULL
            WHEN d.outcome = 'confirmed' THEN 'confirmed'
            WHEN d.outcome = 'expired' OR confirm_until < now() THEN 'expired'
            ELSE 'pending'
       END AS confirmation,
       CASE WHEN d.outcome = 'confirmed' THEN d.decided_at END AS confirmed_at,
       spam_rule IS NOT NULL AS is_spam,
       s.* EXCLUDE (submission_id, fields, consents, confirms, review),
       TRY_CAST(fields AS JSON) AS fields, TRY_CAST(consents AS JSON) AS consents
FROM (
  -- Confirmations say nothing of their own, and what reviews say is in the view of those.
  FROM files.submissions WHERE confirms IS NULL AND review IS NULL
  -- The id is the sender's own: two visitors may both have a 1.
  QUALIFY row_number() OVER (
    PARTITION BY site, visitor_id, submission_id ORDER BY topic_offset
  ) = 1
) s LEFT JOIN (
  SELECT site, coalesce(visitor_id, '') AS visitor, submission_id, contact_id, record_id, outcome,
         decided_at
  FROM decisions
) d ON s.site = d.site AND coalesce(s.visitor_id, '') = d.visitor
   AND s.submission_id = d.submission_id
