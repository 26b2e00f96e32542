-- What each rebuild changed: visits before and after it.
-- rebuild_id: The rebuild.
-- rebuilt_at: When it ran.
-- change: added, changed or gone.
-- visit_id: Id of the visit.
-- site: Key of the site.
-- visitor_id: The browser on that site.
-- started_at: When its first beacon happened.
-- ended_at_before: When its last beacon happened, before the rebuild; NULL as all that follows
-- where the visit is added.
-- ended_at: The same after it; NULL as all that follows where the visit is gone.
-- beacons_before: How many beacons it had.
-- beacons: How many it has.
-- duplicates_before: How many beacons had come again.
-- duplicates: The same after it.
-- page_views_before: How many page views it had.
-- page_views: How many it has.
-- engaged_seconds_before: Time that its pages were in sight and in use.
-- engaged_seconds: The same after it.
-- entry_url_before: Address of its first page.
-- entry_url: The same after it.
-- exit_url_before: Address of its last page.
-- exit_url: The same after it.
-- channel_before: What led to it.
-- channel: The same after it.
-- late_before: True where its beacons came after their time had been closed.
-- start_reason_before: Why it began.
-- start_reason: The same after it.
-- end_reason_before: Why it ended.
-- end_reason: The same after it.
WITH rebuilt AS (
  SELECT v.*, rebuilt_at
  FROM files.visits v JOIN files.rebuilds r USING (rebuild_id, topic_partition)
),
versions AS (
  FROM rebuilt
  UNION ALL
  SELECT *, NULL
  FROM files.visits
  WHERE rebuild_id IS NULL AND visit_id IN (SELECT visit_id FROM rebuilt)
  QUALIFY row_number() OVER (
    PARTITION BY visit_id, site, visitor_id, started_at ORDER BY late, topic_offset
  ) = 1
),
pairs AS (
  SELECT *, CASE WHEN gone IS NOT TRUE THEN v END AS now, lag(now) OVER (
    PARTITION BY visit_id, site, visitor_id, started_at
    ORDER BY rebuild_id IS NOT NULL, v.topic_offset
  ) AS old
  FROM versions v
)
SELECT rebuild_id, rebuilt_at,
       CASE WHEN old IS NULL THEN 'added' WHEN now IS NULL THEN 'gone' ELSE 'changed' END AS change,
       visit_id, site, visitor_id, started_at,
       old.ended_at AS ended_at_before, now.ended_at AS ended_at,
       old.beacons AS beacons_before, now.beacons AS beacons,
       old.duplicates AS duplicates_before, now.duplicates AS duplicates,
       old.page_views AS page_views_before, now.page_views AS page_views,
       old.engaged_ms / 1000 AS engaged_seconds_before, now.engaged_ms / 1000 AS engaged_seconds,
       old.entry_url AS entry_url_before, now.entry_url AS entry_url,
       old.exit_url AS exit_url_before, now.exit_url AS exit_url,
       old.channel AS channel_before, now.channel AS channel,
       old.late AS late_before,
       old.start_reason AS start_reason_before, now.start_reason AS start_reason,
       old.end_reason AS end_reason_before, now.end_reason AS end_reason
FROM pairs
WHERE rebuild_id IS NOT NULL
