-- Every edge from a visitor to a contact, with the time for which it holds.
-- like: identities
-- contact_id: The contact that the record is of, as of now; NULL: of nobody, as who it was is erased.
-- contact_id_then: The contact that it was of when the edge became known.
-- valid_to: Visits that began from here on belong to the visitor's next edge; NULL: still in force.
-- A visitor's first edge reaches back without limit: who they are now, they were before. Each later
-- one starts where its submission did.
SELECT site, visitor_id, coalesce(current_contact_id, nullif(record_id, '')) AS contact_id,
       CASE WHEN nth = 1 THEN NULL ELSE starts END AS valid_from,
       lead(starts) OVER (PARTITION BY site, visitor_id ORDER BY nth = 1 DESC, starts, nth) AS valid_to,
       linked_at, evidence, i.submission_id, record_id, contact_id_then,
       i.topic_partition, i.topic_offset
FROM (
  -- A record that makes a contact alone has that contact's id.
  SELECT * EXCLUDE (contact_id, record_id), contact_id AS contact_id_then,
         coalesce(record_id, contact_id) AS record_id, coalesce(valid_from, linked_at) AS starts,
         row_number() OVER (
           PARTITION BY site, visitor_id
           ORDER BY valid_from IS NOT NULL, coalesce(valid_from, linked_at), topic_offset
         ) AS nth
  FROM files.identities
  QUALIFY row_number() OVER (
    PARTITION BY site, visitor_id, coalesce(submission_id, nullif(contact_id, ''), valid_from::VARCHAR)
    ORDER BY topic_offset DESC
  ) = 1
) i LEFT JOIN aliases a ON i.record_id = a.contact_id
