-- Pages that visits began on: how many left at once, and how many looked on.
-- A bounce has one page view and less than 10 engaged seconds; an engaged visit has two page views, or 10
-- engaged seconds. GA4 also counts a visit with a key event as engaged; Matomo calls each visit of one
-- page a bounce, however long; Snowplow asks for two heartbeats of 10 s where we ask for 10 s.
-- $limit INTEGER 50: How many pages.
-- $site VARCHAR NULL: Key of the site; NULL: all.
-- $first_day DATE NULL: The first day that counts, UTC; NULL: from the beginning.
-- $last_day DATE NULL: The last day that counts; NULL: to the end.
SELECT site, entry_path, count(*) AS visits, count(*) FILTER (is_bounce) AS bounces,
       round(count(*) FILTER (is_bounce) / count(*), 4) AS bounce_rate,
       round(count(*) FILTER (is_engaged) / count(*), 4) AS engagement_rate,
       round(avg(engaged_seconds), 1) AS engaged_seconds,
       round(avg(page_views), 2) AS page_views
FROM visits
WHERE NOT is_bot AND ($site IS NULL OR site = $site)
  AND started_at >= coalesce($first_day, DATE '-infinity')
  AND started_at < coalesce($last_day, DATE '9999-01-01') + 1
GROUP BY ALL ORDER BY visits DESC, site, entry_path LIMIT $limit
