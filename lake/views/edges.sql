-- What is known of two records. Personal data is in records.
-- like: edges
-- left_contact_id: The contact that the left record is of, as of now.
-- right_contact_id: The contact that the right record is of; the same where they are one.
SELECT e.*, coalesce(l.current_contact_id, left_record_id) AS left_contact_id,
       coalesce(r.current_contact_id, right_record_id) AS right_contact_id
FROM (
  FROM files.edges
  QUALIFY row_number() OVER (
    PARTITION BY left_record_id, right_record_id ORDER BY topic_offset DESC
  ) = 1
) e
LEFT JOIN aliases l ON left_record_id = l.contact_id
LEFT JOIN aliases r ON right_record_id = r.contact_id
WHERE verdict IS NOT NULL
