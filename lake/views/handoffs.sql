-- Who became ready for sales, once for each time that they did; by which model, when, and why.
-- like: handoffs
-- contact_id: Of a contact's: who that is as of now.
SELECT h.* EXCLUDE (reasons),
       CASE WHEN subject_type = 'contact' THEN coalesce(current_contact_id, subject_id) END AS contact_id,
       TRY_CAST(reasons AS JSON) AS reasons
FROM (
  FROM files.handoffs
  QUALIFY row_number() OVER (PARTITION BY handoff_id ORDER BY topic_offset) = 1
) h LEFT JOIN aliases a ON subject_type = 'contact' AND subject_id = a.contact_id
