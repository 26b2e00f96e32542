-- Each visit as it stands.
SELECT * EXCLUDE (gone)
FROM (
  -- A visit is known by its id; the rest of the partition is the same for the same id, and lets
  -- conditions on it reach the files. What the newest rebuild says of it counts, or else the first
  -- one that the sessionizer put out: what comes again is a copy, or a late visit from before those
  -- had ids of their own.
  FROM files.visits
  -- What a rebuild wrote in a partition counts once its own record stands there behind it.
  WHERE rebuild_id IS NULL OR (rebuild_id, topic_partition) IN (
    SELECT (rebuild_id, topic_partition) FROM files.rebuilds
  )
  QUALIFY row_number() OVER (
    PARTITION BY visit_id, site, visitor_id, started_at
    ORDER BY CASE WHEN rebuild_id IS NOT NULL THEN topic_offset END DESC NULLS LAST, late, topic_offset
  ) = 1
)
WHERE gone IS NOT TRUE
