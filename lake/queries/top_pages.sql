-- The pages that were viewed most.
-- As Matomo's page URLs without their query, and as GA4's views: each view counts, also of a page seen
-- again. Visitors without consent to visits are not told apart, and not counted.
-- $limit INTEGER 10: How many pages.
-- $site VARCHAR NULL: Key of the site; NULL: all.
-- $first_day DATE NULL: The first day that counts, UTC; NULL: from the beginning.
-- $last_day DATE NULL: The last day that counts; NULL: to the end.
SELECT site, url_host, url_path, count(*) AS page_views, count(DISTINCT visitor_id) AS visitors,
       round(count(*) / sum(count(*)) OVER (PARTITION BY site), 4) AS share
FROM page_views
WHERE NOT is_bot AND ($site IS NULL OR site = $site)
  AND occurred_at >= coalesce($first_day, DATE '-infinity')
  AND occurred_at < coalesce($last_day, DATE '9999-01-01') + 1
GROUP BY site, url_host, url_path ORDER BY page_views DESC, site, url_host, url_path LIMIT $limit
