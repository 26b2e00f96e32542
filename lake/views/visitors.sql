-- Every visitor that has made a visit: one browser on one site.
-- site: Key of the site.
-- visitor_id: The browser on that site.
-- contact_id: The contact of the visitor's newest edge, as of now; NULL: nobody known.
-- first_seen_at: When the first visit began.
-- last_seen_at: When the last visit ended.
-- visits: How many visits there are.
-- beacons: How many beacons they have.
-- page_views: How many page views they have.
-- engaged_seconds: Time that their pages were in sight and in use.
-- is_bot: True where a rule calls the client a bot.
-- first_url: Address that the first visit began on.
-- first_referrer: The page that led to the first visit.
-- first_channel: What led to the first visit.
-- first_utm_source: Campaign parameter utm_source of the first visit.
-- first_utm_medium: Campaign parameter utm_medium of the first visit.
-- first_utm_campaign: Campaign parameter utm_campaign of the first visit.
-- last_url: Address that the last visit began on.
-- last_referrer: The page that led to the last visit.
-- last_channel: What led to the last visit.
-- last_utm_source: Campaign parameter utm_source of the last visit.
-- last_utm_medium: Campaign parameter utm_medium of the last visit.
-- last_utm_campaign: Campaign parameter utm_campaign of the last visit.
SELECT site, visitor_id, edges[-1].contact_id AS contact_id, first_seen_at, last_seen_at, visits,
       beacons, page_views, engaged_ms / 1000 AS engaged_seconds, is_bot,
       touches.first.url AS first_url, touches.first.referrer AS first_referrer,
       touches.first.channel AS first_channel, touches.first.source AS first_utm_source,
       touches.first.medium AS first_utm_medium, touches.first.campaign AS first_utm_campaign,
       touches.last.url AS last_url, touches.last.referrer AS last_referrer,
       touches.last.channel AS last_channel, touches.last.source AS last_utm_source,
       touches.last.medium AS last_utm_medium, touches.last.campaign AS last_utm_campaign
FROM (
  SELECT site, visitor_id, min(started_at) AS first_seen_at, max(ended_at) AS last_seen_at,
         count(*) AS visits, sum(beacons)::BIGINT AS beacons,
         sum(page_views)::BIGINT AS page_views,
         sum(CAST(round(engaged_seconds * 1000) AS BIGINT))::BIGINT AS engaged_ms,
         bool_or(is_bot) AS is_bot,
         {'first': first(touch ORDER BY started_at, visit_id),
          'last': last(touch ORDER BY started_at, visit_id)} AS touches
  FROM (
    SELECT *, {'url': entry_url, 'referrer': referrer, 'channel': channel, 'source': utm_source,
               'medium': utm_medium, 'campaign': utm_campaign} AS touch
    FROM visits
  )
  GROUP BY site, visitor_id
) LEFT JOIN files.visitors USING (site, visitor_id)
