-- Weekly cohorts: of the visitors whose first visit was in a week, how many came again in each week after.
-- As GA4's cohorts by first visit, in calendar weeks from Monday, UTC; week 0 is the cohort's own. Weeks
-- that have no visits of anybody yet are left out.
-- $weeks INTEGER 8: How many weeks after the first.
-- $site VARCHAR NULL: Key of the site; NULL: all.
-- $first_day DATE NULL: The first day that counts, UTC; NULL: from the beginning.
-- $last_day DATE NULL: The last day that counts; NULL: to the end.
WITH visits AS (
  SELECT site, visitor_id, CAST(date_trunc('week', started_at AT TIME ZONE 'UTC') AS DATE) AS week,
         min(started_at) OVER (PARTITION BY site, visitor_id) AS first_at
  FROM visits
  WHERE NOT is_bot AND ($site IS NULL OR site = $site)
),
cohorts AS (
  SELECT *, CAST(date_trunc('week', first_at AT TIME ZONE 'UTC') AS DATE) AS cohort FROM visits
  WHERE first_at >= coalesce($first_day, DATE '-infinity')
    AND first_at < coalesce($last_day, DATE '9999-01-01') + 1
),
returns AS (
  SELECT cohort, date_diff('day', cohort, week) // 7 AS n,
         count(DISTINCT {'site': site, 'visitor_id': visitor_id}) AS visitors
  FROM cohorts GROUP BY ALL
)
SELECT c.cohort, c.visitors AS cohort_visitors, n AS week, coalesce(r.visitors, 0) AS visitors,
       round(coalesce(r.visitors, 0) / c.visitors, 4) AS share
FROM (FROM returns WHERE n = 0) c (cohort, zero, visitors)
CROSS JOIN (SELECT unnest(range($weeks + 1)) AS n) weeks
LEFT JOIN returns r USING (cohort, n)
WHERE c.cohort + 7 * CAST(n AS INTEGER) <= (SELECT max(week) FROM visits)
ORDER BY c.cohort, n
