-- Every request by which a person was erased, and how far that is. No personal data.
-- like: erasures
-- state: done once no file in the lake holds what was theirs, those kept for running queries
-- included; else pending.
-- rows: How many rows were taken out or, as they came later, not written.
-- removed: These by table, JSON.
SELECT e.*, CASE WHEN topic_offset < next_offset THEN 'done' ELSE 'pending' END AS state,
       coalesce(r.rows, 0)::BIGINT AS rows, coalesce(r.removed, '{}'::JSON) AS removed
FROM (
  FROM files.erasures
  QUALIFY row_number() OVER (PARTITION BY request_id ORDER BY topic_offset) = 1
) e CROSS JOIN files.erased_to LEFT JOIN (
  SELECT request_id, sum(rows) AS rows,
         to_json(map_from_entries(list((table_name, rows) ORDER BY table_name))) AS removed
  FROM (SELECT request_id, table_name, sum(rows)::BIGINT AS rows FROM files.erased GROUP BY ALL)
  GROUP BY request_id
) r USING (request_id)
