-- Every version of which contact an id stood for, with the time for which it was the newest.
-- like: aliases
-- valid_to: When the next version came; NULL: it is the newest.
SELECT *, lead(since) OVER (PARTITION BY contact_id ORDER BY topic_offset) AS valid_to
FROM (
  FROM files.aliases
  QUALIFY row_number() OVER (
    PARTITION BY contact_id, current_contact_id, since ORDER BY topic_offset
  ) = 1
)
