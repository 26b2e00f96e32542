-- Three pages in this order within one visit: how many visits came how far.
-- As Matomo's funnel: a visit counts once for each step, and other pages may lie between two steps.
-- Of a large lake, ask for some weeks at a time: 30 days of 3 million beacons take 770 MB.
-- $first VARCHAR '/': Path of the first page, as a GLOB pattern.
-- $second VARCHAR '/pricing': The second page.
-- $third VARCHAR '/contact': The third page.
-- $site VARCHAR NULL: Key of the site; NULL: all.
-- $first_day DATE NULL: The first day of visits that counts, UTC; NULL: from the beginning.
-- $last_day DATE NULL: The last day that counts; NULL: to the end.
WITH pages AS (
  -- Each page view and the visit that it is in: of several, the one that closed first after it came.
  SELECT p.site, v.visit_id, p.event_id, p.occurred_at, p.url_path
  FROM page_views p JOIN visits v
  ON p.site = v.site AND p.visitor_id = v.visitor_id AND p.topic_partition = v.input_partition
     AND p.topic_offset <= v.last_offset AND p.occurred_at BETWEEN v.started_at AND v.ended_at
  WHERE NOT p.is_bot AND ($site IS NULL OR p.site = $site)
    AND v.started_at >= coalesce($first_day, DATE '-infinity')
    AND v.started_at < coalesce($last_day, DATE '9999-01-01') + 1
    -- A visit lasts a day at most, unless a site says otherwise.
    AND p.occurred_at >= coalesce($first_day, DATE '-infinity')
    AND p.occurred_at < coalesce($last_day, DATE '9999-01-01') + 2
  QUALIFY row_number() OVER (
    PARTITION BY p.topic_partition, p.topic_offset ORDER BY v.last_offset, v.late, v.visit_id
  ) = 1
),
firsts AS (
  SELECT visit_id, event_id, occurred_at, url_path,
         min(CASE WHEN url_path GLOB $first THEN {'at': occurred_at, 'event_id': event_id} END)
         OVER (PARTITION BY visit_id) AS first_at
  FROM pages
  WHERE url_path GLOB $first OR url_path GLOB $second OR url_path GLOB $third
),
seconds AS (
  SELECT *, min(CASE WHEN url_path GLOB $second AND {'at': occurred_at, 'event_id': event_id} > first_at
                     THEN {'at': occurred_at, 'event_id': event_id} END)
            OVER (PARTITION BY visit_id) AS second_at
  FROM firsts
),
visit_steps AS (
  SELECT visit_id, any_value(first_at) IS NOT NULL AS first,
         any_value(second_at) IS NOT NULL AS second,
         coalesce(bool_or(url_path GLOB $third
                          AND {'at': occurred_at, 'event_id': event_id} > second_at), false) AS third
  FROM seconds GROUP BY visit_id
),
steps AS (
  SELECT 1 AS step, $first AS what, count(*) FILTER (first) AS visits FROM visit_steps
  UNION ALL SELECT 2, $second, count(*) FILTER (second) FROM visit_steps
  UNION ALL SELECT 3, $third, count(*) FILTER (third) FROM visit_steps
)
SELECT step, what, visits,
       round(visits / nullif(first_value(visits) OVER (ORDER BY step), 0), 4) AS of_first,
       round(visits / nullif(lag(visits) OVER (ORDER BY step), 0), 4) AS of_previous
FROM steps ORDER BY step
