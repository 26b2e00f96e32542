-- How many visits a batch over all beacons makes, and how many of them are not in the view visits,
-- or the other way round. What a visit is by the configuration of rebuild_test.go: a gap of 30
-- minutes, of 20 on shop; acme begins a new one with a new campaign, night at midnight in Tokyo.
WITH beacon AS (
  SELECT *, coalesce(lag(occurred_at) OVER visitor <
      occurred_at - CASE site WHEN 'shop' THEN INTERVAL 20 MINUTE ELSE INTERVAL 30 MINUTE END, true)
    AS after_gap,
    CASE WHEN utm_source IS NOT NULL OR utm_campaign IS NOT NULL
         THEN concat_ws('|', utm_source, utm_campaign) END AS named,
    (occurred_at AT TIME ZONE 'Asia/Tokyo')::DATE AS day
  FROM beacons WHERE consent <> 'none'
  WINDOW visitor AS (PARTITION BY site, visitor_id ORDER BY occurred_at, event_id)
),
chained AS (
  SELECT *, count(*) FILTER (after_gap) OVER (
    PARTITION BY site, visitor_id ORDER BY occurred_at, event_id ROWS UNBOUNDED PRECEDING) AS chain
  FROM beacon
),
marked AS (
  SELECT *, NOT after_gap AND (
    site = 'acme' AND named IS NOT NULL AND named IS DISTINCT FROM last_value(named IGNORE NULLS) OVER (
      chain ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
    OR site = 'night' AND day <> lag(day) OVER chain) AS cut
  FROM chained
  WINDOW chain AS (PARTITION BY site, visitor_id, chain ORDER BY occurred_at, event_id)
),
pieces AS (
  SELECT *, count(*) FILTER (cut) OVER (
    PARTITION BY site, visitor_id, chain ORDER BY occurred_at, event_id ROWS UNBOUNDED PRECEDING)
    AS piece
  FROM marked
),
want AS (
  SELECT site, visitor_id, min(occurred_at) AS started_at, max(occurred_at) AS ended_at,
    count(*) AS beacons, count(*) FILTER (type = 'page_view') AS page_views,
    count(*) FILTER (type = 'ping') AS pings,
    first(event_id ORDER BY occurred_at, event_id) AS first_event_id,
    last(event_id ORDER BY occurred_at, event_id) AS last_event_id,
    coalesce(first(url ORDER BY occurred_at, event_id) FILTER (type = 'page_view'),
             first(url ORDER BY occurred_at, event_id)) AS entry_url,
    coalesce(last(url ORDER BY occurred_at, event_id) FILTER (type = 'page_view'),
             last(url ORDER BY occurred_at, event_id)) AS exit_url,
    false AS late
  FROM pieces GROUP BY site, visitor_id, chain, piece
),
got AS (
  SELECT site, visitor_id, started_at, ended_at, beacons, page_views, pings, first_event_id,
    last_event_id, entry_url, exit_url, late
  FROM visits
)
SELECT (SELECT count(*) FROM want) AS visits,
       (SELECT count(*) FROM (FROM want EXCEPT ALL FROM got)) AS missing,
       (SELECT count(*) FROM (FROM got EXCEPT ALL FROM want)) AS wrong
