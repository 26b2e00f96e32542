-- Every page view that is in a visit, with its place there. A view of its own, since it has to find
-- each beacon's visit: quick for a visitor, slow for all.
-- visit_id: The visit.
-- site: Key of the site.
-- visitor_id: The browser on that site.
-- contact_id: The visit's contact, as of now; NULL: nobody, or no consent to know.
-- event_id: The page view's beacon.
-- occurred_at: When it happened.
-- url: Address of the page.
-- url_path: Path of the page.
-- is_bot: True where a rule calls the client a bot.
-- page_view_in_visit_index: Which page view of its visit it is, from 1.
-- page_views_in_visit: How many page views its visit has.
-- engaged_seconds: Time that this page was in sight and in use, from pings: those of all page views of
-- a visit add up to the visit's.
-- next_event_id: The page view after it in its visit; NULL: it is the last.
-- next_path: Path of that page.
-- next_at: When that page was viewed.
SELECT visit_id, site, visitor_id, contact_id, event_id, occurred_at, url, url_path, is_bot,
       row_number() OVER visit AS page_view_in_visit_index,
       count(*) OVER (PARTITION BY site, visitor_id, visit_id) AS page_views_in_visit,
       coalesce(engaged_us, 0) / 1e6 AS engaged_seconds, lead(event_id) OVER visit AS next_event_id,
       lead(url_path) OVER visit AS next_path, lead(occurred_at) OVER visit AS next_at
FROM (
  SELECT *, sum(CASE WHEN type = 'ping' THEN us END)
            OVER (PARTITION BY site, visitor_id, visit_id, coalesce(same_page, any_page))::BIGINT
            AS engaged_us
  FROM (
    SELECT *,
           -- A ping is of the last view of its own page, or of the last page of all.
           last_value(page IGNORE NULLS) OVER (
             PARTITION BY site, visitor_id, visit_id, url ORDER BY occurred_at, event_id
           ) AS same_page,
           last_value(page IGNORE NULLS) OVER visit AS any_page,
           -- As the visit counts it: what the page says, or the time since the beacon before.
           least(30_000_000, CASE WHEN engaged_ms > 0 THEN engaged_ms * 1000
                                  ELSE date_diff('microsecond', lag(occurred_at) OVER visit, occurred_at)
                             END) AS us
    FROM (
      SELECT site, visitor_id, visit_id, contact_id, event_id, type, occurred_at, url, url_path,
             is_bot, engaged_ms, CASE WHEN type = 'page_view' THEN event_id END AS page
      FROM files.visit_beacons
    )
    WINDOW visit AS (
      PARTITION BY site, visitor_id, visit_id ORDER BY occurred_at, event_id
    )
  )
)
WHERE type = 'page_view'
WINDOW visit AS (PARTITION BY site, visitor_id, visit_id ORDER BY occurred_at, event_id)
