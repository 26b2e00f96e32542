-- Three pages in this order within one visit: how many visits came how far.
-- As Matomo's funnel: a visit counts once for each step, and other pages may lie between two steps.
-- $first VARCHAR '/': Path of the first page, as a GLOB pattern.
-- $second VARCHAR '/pricing': The second page.
-- $third VARCHAR '/contact': The third page.
-- $site VARCHAR NULL: Key of the site; NULL: all.
-- $first_day DATE NULL: The first day that counts, UTC; NULL: from the beginning.
-- $last_day DATE NULL: The last day that counts; NULL: to the end.
WITH pages AS (
  SELECT visit_id, page_view_in_visit_index AS place, url_path GLOB $first AS is_first,
         url_path GLOB $second AS is_second, url_path GLOB $third AS is_third
  FROM visit_pages
  WHERE NOT is_bot AND ($site IS NULL OR site = $site)
    AND occurred_at >= coalesce($first_day, DATE '-infinity')
    AND occurred_at < coalesce($last_day, DATE '9999-01-01') + 1
),
firsts AS (
  SELECT *, min(CASE WHEN is_first THEN place END) OVER (PARTITION BY visit_id) AS first_place
  FROM pages
),
seconds AS (
  SELECT *, min(CASE WHEN is_second AND place > first_place THEN place END)
            OVER (PARTITION BY visit_id) AS second_place
  FROM firsts
),
visit_steps AS (
  SELECT visit_id, any_value(first_place) IS NOT NULL AS first,
         any_value(second_place) IS NOT NULL AS second,
         coalesce(bool_or(is_third AND place > second_place), false) AS third
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
