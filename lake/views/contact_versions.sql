-- Every version of every contact, with the time for which it was the newest. Personal data.
-- like: contacts
-- valid_to: When the next version was made; NULL: it is the newest.
SELECT *, lead(updated_at) OVER (PARTITION BY contact_id ORDER BY version) AS valid_to
FROM (
  FROM files.contacts
  QUALIFY row_number() OVER (PARTITION BY contact_id, version ORDER BY topic_offset DESC) = 1
)
