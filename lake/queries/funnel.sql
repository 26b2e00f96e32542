-- Three steps in this order, each within a time from the first: how many came how far.
-- As GA4's closed funnel: one begins at the first step, others may lie between two steps, and who goes
-- through it twice counts once. Of several beginnings the one that leads furthest counts.
-- $first VARCHAR '/': The first step: a path as a GLOB pattern, or a type of beacon, such as form_submit.
-- $second VARCHAR '/pricing': The second step.
-- $third VARCHAR 'form_submit': The third step.
-- $within INTERVAL '7 days': How long after its first step the last one may come.
-- $subject VARCHAR 'visitor': Who goes: visitor, or contact (where it is known, else the visitor).
-- $site VARCHAR NULL: Key of the site; NULL: all.
-- $first_day DATE NULL: The first day that counts, UTC; NULL: from the beginning.
-- $last_day DATE NULL: The last day that counts; NULL: to the end.
WITH events AS (
  SELECT CASE WHEN $subject = 'contact' AND contact_id IS NOT NULL THEN contact_id
              ELSE site || ' ' || visitor_id END AS subject,
         occurred_at, event_id,
         type = $first OR (type = 'page_view' AND url_path GLOB $first) AS is_first,
         type = $second OR (type = 'page_view' AND url_path GLOB $second) AS is_second,
         type = $third OR (type = 'page_view' AND url_path GLOB $third) AS is_third
  FROM beacons
  WHERE NOT is_bot AND visitor_id IS NOT NULL AND ($site IS NULL OR site = $site)
    AND occurred_at >= coalesce($first_day, DATE '-infinity')
    AND occurred_at < coalesce($last_day, DATE '9999-01-01') + 1
),
-- What reaches a step began at the latest beginning that does.
firsts AS (
  SELECT *, max(CASE WHEN is_first THEN occurred_at END) OVER (
    PARTITION BY subject ORDER BY occurred_at, event_id
    ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
  ) AS began
  FROM events WHERE is_first OR is_second OR is_third
),
seconds AS (
  SELECT *, max(CASE WHEN is_second AND occurred_at <= began + $within THEN began END) OVER (
    PARTITION BY subject ORDER BY occurred_at, event_id
    ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
  ) AS went_on
  FROM firsts
),
subjects AS (
  SELECT subject, bool_or(is_first) AS first,
         coalesce(bool_or(is_second AND occurred_at <= began + $within), false) AS second,
         coalesce(bool_or(is_third AND occurred_at <= went_on + $within), false) AS third
  FROM seconds GROUP BY subject
),
steps AS (
  SELECT 1 AS step, $first AS what, count(*) FILTER (first) AS subjects FROM subjects
  UNION ALL SELECT 2, $second, count(*) FILTER (second) FROM subjects
  UNION ALL SELECT 3, $third, count(*) FILTER (third) FROM subjects
)
SELECT step, what, subjects,
       round(subjects / nullif(first_value(subjects) OVER (ORDER BY step), 0), 4) AS of_first,
       round(subjects / nullif(lag(subjects) OVER (ORDER BY step), 0), 4) AS of_previous
FROM steps ORDER BY step
