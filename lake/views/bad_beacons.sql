-- Input that could not be used, as it came, and why.
-- like: bad_beacons
-- raw_text: The bytes as text; NULL where they are no UTF-8.
SELECT b.* EXCLUDE (topic, topic_partition, topic_offset, redriven_at, redriven_beacons, part_of,
                   origin),
       TRY(decode(raw)) AS raw_text, origin, part_of, r.redriven_at, r.redriven_beacons,
       topic, topic_partition, topic_offset
FROM files.bad_beacons b LEFT JOIN (
  -- A redrive leaves a receipt beside what it has taken.
  SELECT bad_beacon_id, min(redriven_at) AS redriven_at, max(redriven_beacons) AS redriven_beacons
  FROM files.bad_beacons WHERE redriven_at IS NOT NULL GROUP BY bad_beacon_id
) r ON b.bad_beacon_id = r.bad_beacon_id
WHERE b.redriven_at IS NULL
