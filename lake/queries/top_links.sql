-- The links that were followed most.
-- As Matomo's outlinks and downloads, which are one here: each click counts.
-- $limit INTEGER 10: How many links.
-- $site VARCHAR NULL: Key of the site; NULL: all.
-- $first_day DATE NULL: The first day that counts, UTC; NULL: from the beginning.
-- $last_day DATE NULL: The last day that counts; NULL: to the end.
SELECT site, target, count(*) AS clicks, count(DISTINCT visitor_id) AS visitors,
       count(DISTINCT url_path) AS pages
FROM link_clicks
WHERE NOT is_bot AND ($site IS NULL OR site = $site)
  AND occurred_at >= coalesce($first_day, DATE '-infinity')
  AND occurred_at < coalesce($last_day, DATE '9999-01-01') + 1
GROUP BY ALL ORDER BY clicks DESC, site, target LIMIT $limit
