-- New and returning visitors by UTC day, as visits and as visitors; both add up.
-- A visit is new if it is the visitor's first on the site, as in GA and Matomo. A visitor is new on the day
-- of the first visit, and only there; GA4 counts who comes again on that day as returning, too.
-- $site VARCHAR NULL: Key of the site; NULL: all.
-- $first_day DATE NULL: The first day that counts, UTC; NULL: from the beginning.
-- $last_day DATE NULL: The last day that counts; NULL: to the end.
SELECT CAST(started_at AT TIME ZONE 'UTC' AS DATE) AS day, count(*) AS visits,
       count(*) FILTER (NOT is_returning) AS new_visits,
       count(*) FILTER (is_returning) AS returning_visits,
       count(DISTINCT {'site': site, 'visitor_id': visitor_id}) AS visitors,
       count(*) FILTER (NOT is_returning) AS new_visitors,
       visitors - new_visitors AS returning_visitors
FROM visit_touches
WHERE NOT is_bot AND ($site IS NULL OR site = $site)
  AND started_at >= coalesce($first_day, DATE '-infinity')
  AND started_at < coalesce($last_day, DATE '9999-01-01') + 1
GROUP BY day ORDER BY day
