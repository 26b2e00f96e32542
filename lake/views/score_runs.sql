-- Every run of every model: with its model and its snapshot, `crumbtrail score --as-known` computes
-- the same scores again.
-- like: score_runs
SELECT * EXCLUDE (snapshot), TRY_CAST(snapshot AS JSON) AS snapshot
FROM files.score_runs
QUALIFY row_number() OVER (PARTITION BY run_id, model ORDER BY topic_offset DESC) = 1
