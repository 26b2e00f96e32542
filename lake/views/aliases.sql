-- Which contact an id stands for, of every id that ever stood for another one.
-- like: aliases
FROM files.aliases
QUALIFY row_number() OVER (PARTITION BY contact_id ORDER BY topic_offset DESC) = 1
