-- Every version of every contact, with the time for which it was the newest; also of those that
-- others have taken over. Personal data.
-- like: contacts
-- valid_to: When the next version was made; NULL: it is the newest.
-- current_contact_id: The contact that it is now: itself, or the one that took it over.
SELECT v.*, lead(updated_at) OVER (PARTITION BY v.contact_id ORDER BY version) AS valid_to,
       coalesce(a.current_contact_id, v.contact_id) AS current_contact_id
FROM (
  FROM files.contacts
  QUALIFY row_number() OVER (PARTITION BY contact_id, version ORDER BY topic_offset DESC) = 1
) v LEFT JOIN (SELECT contact_id, current_contact_id FROM aliases) a USING (contact_id)
