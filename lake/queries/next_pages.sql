-- Where visits went on from a page; where next_path is NULL, the visit ended.
-- As Matomo's transitions: pages of one visit in order, a page viewed again counted again.
-- $path VARCHAR NULL: Path of the page, as a GLOB pattern; NULL: every page.
-- $limit INTEGER 50: How many pairs.
-- $site VARCHAR NULL: Key of the site; NULL: all.
-- $first_day DATE NULL: The first day that counts, UTC; NULL: from the beginning.
-- $last_day DATE NULL: The last day that counts; NULL: to the end.
SELECT site, url_path, next_path, count(*) AS times,
       round(count(*) / sum(count(*)) OVER (PARTITION BY site, url_path), 4) AS share
FROM visit_pages
WHERE NOT is_bot AND ($path IS NULL OR url_path GLOB $path)
  AND ($site IS NULL OR site = $site)
  AND occurred_at >= coalesce($first_day, DATE '-infinity')
  AND occurred_at < coalesce($last_day, DATE '9999-01-01') + 1
GROUP BY site, url_path, next_path ORDER BY times DESC, site, url_path, next_path LIMIT $limit
