-- What became of every beacon: in + duplicates = in visits + their duplicates + without visits + waiting.
-- By partition of topic beacons. difference is 0 where nothing is waiting; copies of beacons that wait, or
-- that have no visits, are the difference, and so is what either table has lost by age or erasure.
WITH taken AS (
  SELECT topic_partition, duplicates FROM pipeline_counts WHERE topic LIKE '%beacons'
         AND topic NOT LIKE '%bad-beacons'
),
rows AS (
  SELECT topic_partition, count(*) AS beacons,
         count(*) FILTER (visitor_id IS NULL OR consent = 'none') AS without_visits
  FROM beacons GROUP BY ALL
),
placed AS (SELECT topic_partition, count(*) AS beacons FROM files.visit_beacons GROUP BY ALL),
made AS (
  -- What the sessionizer made, whatever was rebuilt since.
  SELECT input_partition AS topic_partition, sum(beacons)::BIGINT AS beacons,
         sum(duplicates)::BIGINT AS duplicates
  FROM files.visits WHERE rebuild_id IS NULL GROUP BY ALL
)
SELECT topic_partition, coalesce(r.beacons, 0) AS beacons, t.duplicates,
       coalesce(m.beacons, 0) AS in_visits, coalesce(m.duplicates, 0) AS visit_duplicates,
       coalesce(without_visits, 0) AS without_visits,
       coalesce(r.beacons - without_visits - coalesce(p.beacons, 0), 0) AS waiting,
       coalesce(r.beacons, 0) + t.duplicates - coalesce(m.beacons, 0) - coalesce(m.duplicates, 0)
         - coalesce(without_visits, 0)
         - coalesce(r.beacons - without_visits - coalesce(p.beacons, 0), 0) AS difference
FROM taken t LEFT JOIN rows r USING (topic_partition) LEFT JOIN placed p USING (topic_partition)
LEFT JOIN made m USING (topic_partition)
ORDER BY topic_partition
