-- Every contact that stands for itself, as it is now; those that others have taken over are in
-- contact_versions. Personal data.
-- like: contacts
-- without: merged_into
SELECT * EXCLUDE (merged_into)
FROM (
  FROM files.contacts
  QUALIFY row_number() OVER (PARTITION BY contact_id ORDER BY version DESC, topic_offset DESC) = 1
)
ANTI JOIN (FROM aliases WHERE current_contact_id <> contact_id) USING (contact_id)
