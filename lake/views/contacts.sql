-- Every contact, as it is now. Personal data.
-- like: contacts
FROM files.contacts
QUALIFY row_number() OVER (PARTITION BY contact_id ORDER BY version DESC, topic_offset DESC) = 1
