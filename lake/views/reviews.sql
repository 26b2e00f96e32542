-- Pairs of contacts of which a person has to say whether they are one, and what persons have said.
-- review_id: Names the pair, or what was said of it.
-- state: open; or sent (not decided on yet), decided, refused (nothing was to be done) or withdrawn.
-- verdict: What was said: accept (one), reject (two), split (records leave a contact) or withdraw
-- (an earlier review holds no more); NULL: nothing yet.
-- left_contact_id: The older contact; of what was said, the contact or record that was named first.
-- right_contact_id: The other one.
-- records: Of a split: the records that left.
-- withdraws: Of a withdrawal: the review that holds no more.
-- weight: Of the likeliest pair of records: logarithm to base 2 of the odds that both are one.
-- probability: Of the likeliest pair of records: how probable it is that both are one.
-- pairs: How many pairs of their records are likely to be one.
-- evidence: What brought the likeliest pair together.
-- refused: Why they are not one although that is likely enough; NULL: it is not.
-- model: Name and version of the model.
-- submission_id: The submission that the likeliest pair comes from.
-- asked_at: When the first pair became known, or somebody said what they said.
-- decided_at: When it was decided on.
-- decided_by: Who said it.
-- note: What they said of it.
-- reason: What was done, and why, in a sentence.
WITH numbers AS (SELECT record_id, any_value(number) AS number FROM files.records GROUP BY record_id)
SELECT substr(sha256(left_contact_id || ' ' || right_contact_id), 1, 12) AS review_id,
       'open' AS state, NULL::VARCHAR AS verdict, left_contact_id, right_contact_id,
       NULL::VARCHAR[] AS records, NULL::VARCHAR AS withdraws, likeliest.weight AS weight,
       likeliest.probability AS probability, pairs, likeliest.evidence AS evidence,
       likeliest.refused AS refused, likeliest.model AS model,
       likeliest.submission_id AS submission_id, asked_at, NULL::TIMESTAMPTZ AS decided_at,
       NULL::VARCHAR AS decided_by, NULL::VARCHAR AS note, NULL::VARCHAR AS reason
FROM (
  SELECT older AS left_contact_id, newer AS right_contact_id, count(DISTINCT pair) AS pairs,
         min(decided_at) AS asked_at,
         first({'weight': weight, 'probability': probability, 'evidence': evidence,
                'refused': refused, 'model': model, 'submission_id': submission_id}
               ORDER BY weight DESC NULLS LAST, pair) AS likeliest
  FROM (
    SELECT p.* EXCLUDE (left_contact_id, right_contact_id),
           CASE WHEN l.number > r.number THEN right_contact_id ELSE left_contact_id END AS older,
           CASE WHEN l.number > r.number THEN left_contact_id ELSE right_contact_id END AS newer
    FROM (
      SELECT left_contact_id, right_contact_id, [left_record_id, right_record_id] AS pair, verdict,
             weight, probability, evidence, refused, model, submission_id, decided_at
      FROM edges
      UNION ALL
      -- Where a strategy fits several contacts, there may be nothing that the model says.
      SELECT d.contact_id, coalesce(a.current_contact_id, other), [other, d.record_id], 'likely',
             NULL, NULL, strategy, NULL, NULL, d.submission_id, decided_at
      FROM (
        SELECT contact_id, record_id, strategy, submission_id, decided_at,
               unnest(CAST(runners_up AS JSON[]))->>'record_id' AS other
        FROM decisions WHERE outcome = 'review'
      ) d LEFT JOIN aliases a ON other = a.contact_id
    ) p
    LEFT JOIN numbers l ON l.record_id = left_contact_id
    LEFT JOIN numbers r ON r.record_id = right_contact_id
    WHERE left_contact_id <> right_contact_id
  )
  GROUP BY ALL
  HAVING NOT bool_or(verdict = 'rejected')
)
UNION ALL
SELECT s.submission_id,
       CASE WHEN d.outcome IS NULL THEN 'sent' WHEN d.outcome = 'refused' THEN 'refused'
            WHEN w.withdraws IS NOT NULL THEN 'withdrawn' ELSE 'decided'
       END,
       s.verdict, s.left_id, s.right_id, s.records, s.withdraws, e.weight, e.probability, e.pairs,
       NULL, NULL, e.model, NULL, s.received_at, d.decided_at, s.decided_by, s.note, d.reason
FROM (
  SELECT submission_id, received_at, (review->>'verdict') AS verdict, (review->>'left') AS left_id,
         (review->>'right') AS right_id, CAST(review->'records' AS VARCHAR[]) AS records,
         (review->>'withdraws') AS withdraws, (review->>'by') AS decided_by,
         (review->>'note') AS note
  FROM (SELECT * REPLACE (review::JSON AS review) FROM files.submissions WHERE review IS NOT NULL)
  QUALIFY row_number() OVER (PARTITION BY submission_id ORDER BY topic_offset) = 1
) s
LEFT JOIN (
  SELECT submission_id, outcome, reason, decided_at FROM decisions WHERE site IS NULL
) d USING (submission_id)
LEFT JOIN (
  SELECT submission_id, max(weight) AS weight, max(probability) AS probability, count(*) AS pairs,
         any_value(model) AS model
  FROM files.edges WHERE verdict IN ('accepted', 'rejected') GROUP BY ALL
) e USING (submission_id)
LEFT JOIN (
  SELECT DISTINCT (review::JSON->>'withdraws') AS withdraws
  FROM files.submissions JOIN decisions USING (submission_id)
  WHERE review IS NOT NULL AND outcome = 'withdrawn'
) w ON w.withdraws = s.submission_id
