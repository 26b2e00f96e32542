-- Input that could not be used, as it came, and why.
-- like: bad_beacons
-- raw_text: The bytes as text; NULL where they are no UTF-8.
SELECT * EXCLUDE (topic, topic_partition, topic_offset), TRY(decode(raw)) AS raw_text,
       topic, topic_partition, topic_offset
FROM files.bad_beacons
