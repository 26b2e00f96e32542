-- Input that was refused, by reason and protocol, and how much of it was repaired and driven again.
-- As Snowplow's failed events: kept as they came, one row each.
-- $site VARCHAR NULL: Key of the site; NULL: all.
-- $first_day DATE NULL: The first day that counts, UTC; NULL: from the beginning.
-- $last_day DATE NULL: The last day that counts; NULL: to the end.
SELECT reason, protocol, count(*) AS inputs, count(redriven_at) AS redriven,
       count(*) - count(redriven_at) AS left_over, min(received_at) AS first_at,
       max(received_at) AS last_at
FROM bad_beacons
WHERE ($site IS NULL OR site = $site)
  AND received_at >= coalesce($first_day, DATE '-infinity')
  AND received_at < coalesce($last_day, DATE '9999-01-01') + 1
GROUP BY reason, protocol ORDER BY inputs DESC, reason, protocol
