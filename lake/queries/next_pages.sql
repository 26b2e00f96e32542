-- Where visits went on from a page; where next_path is NULL, the visit ended.
-- As Matomo's transitions: pages of one visit in order, a page viewed again counted again.
-- Of a large lake, ask for some weeks at a time: 30 days of 3 million beacons take 770 MB.
-- $path VARCHAR NULL: Path of the page, as a GLOB pattern; NULL: every page.
-- $limit INTEGER 50: How many pairs.
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
pairs AS (
  SELECT site, url_path,
         lead(url_path) OVER (PARTITION BY visit_id ORDER BY occurred_at, event_id) AS next_path
  FROM pages
)
SELECT site, url_path, next_path, count(*) AS times,
       round(count(*) / sum(count(*)) OVER (PARTITION BY site, url_path), 4) AS share
FROM pairs
WHERE $path IS NULL OR url_path GLOB $path
GROUP BY site, url_path, next_path ORDER BY times DESC, site, url_path, next_path LIMIT $limit
