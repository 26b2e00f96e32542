-- Every edge from a visitor to a contact, with the time for which it holds.
-- like: identities
-- valid_to: Visits that began from here on belong to the visitor's next edge; NULL: still in force.
-- A visitor's first edge reaches back without limit: who they are now, they were before. Each later
-- one starts where its submission did.
SELECT site, visitor_id, contact_id,
       CASE WHEN nth = 1 THEN NULL ELSE starts END AS valid_from,
       lead(starts) OVER (PARTITION BY site, visitor_id ORDER BY nth = 1 DESC, starts, nth) AS valid_to,
       linked_at, evidence, submission_id, topic_partition, topic_offset
FROM (
  SELECT *, coalesce(valid_from, linked_at) AS starts,
         row_number() OVER (
           PARTITION BY site, visitor_id
           ORDER BY valid_from IS NOT NULL, coalesce(valid_from, linked_at), topic_offset
         ) AS nth
  FROM files.identities
  QUALIFY row_number() OVER (
    PARTITION BY site, visitor_id, coalesce(submission_id, contact_id) ORDER BY topic_offset DESC
  ) = 1
)
