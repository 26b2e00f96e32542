-- Every visit with its place among the visitor's visits on the site, and what led to them. A view of
-- its own, since a visit's place is known only once all visits are read.
-- visit_id: The visit.
-- site: Key of the site.
-- visitor_id: The browser on that site.
-- contact_id: The visit's contact, as of now; NULL: nobody, or no consent to know.
-- started_at: When the visit began.
-- is_bot: True where a rule calls the client a bot.
-- visit_number: Which visit of the visitor on the site it is, from 1, by started_at and visit_id.
-- is_returning: True where the visitor had made a visit before: visit_number is more than 1.
-- first_touch_channel: What led to the visitor's first visit.
-- first_touch_referrer: The page that led to the visitor's first visit.
-- first_touch_utm_source: Campaign parameter utm_source of the visitor's first visit.
-- first_touch_utm_medium: Campaign parameter utm_medium of the visitor's first visit.
-- first_touch_utm_campaign: Campaign parameter utm_campaign of the visitor's first visit.
-- last_touch_channel: What led to the last visit up to and with this one that was neither direct nor
-- internal; where there is none, to this one.
-- last_touch_referrer: The page that led to the visit of last_touch_channel.
-- last_touch_utm_source: Campaign parameter utm_source of the visit of last_touch_channel.
-- last_touch_utm_medium: Campaign parameter utm_medium of the visit of last_touch_channel.
-- last_touch_utm_campaign: Campaign parameter utm_campaign of the visit of last_touch_channel.
SELECT visit_id, site, visitor_id, contact_id, started_at, is_bot, visit_number,
       visit_number > 1 AS is_returning,
       first_touch.channel AS first_touch_channel, first_touch.referrer AS first_touch_referrer,
       first_touch.source AS first_touch_utm_source, first_touch.medium AS first_touch_utm_medium,
       first_touch.campaign AS first_touch_utm_campaign,
       last_touch.channel AS last_touch_channel, last_touch.referrer AS last_touch_referrer,
       last_touch.source AS last_touch_utm_source, last_touch.medium AS last_touch_utm_medium,
       last_touch.campaign AS last_touch_utm_campaign
FROM (
  SELECT visit_id, site, visitor_id, contact_id, started_at, is_bot,
         row_number() OVER visitor AS visit_number,
         first_value(touch) OVER visitor AS first_touch,
         -- Who types an address, or goes on from a page, came by what led before.
         coalesce(last_value(CASE WHEN channel NOT IN ('direct', 'internal') THEN touch END
                             IGNORE NULLS) OVER visitor, touch) AS last_touch
  FROM (
    SELECT *, {'channel': channel, 'referrer': referrer, 'source': utm_source,
               'medium': utm_medium, 'campaign': utm_campaign} AS touch
    FROM visits
  )
  WINDOW visitor AS (
    PARTITION BY site, visitor_id ORDER BY started_at, visit_id
    ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
  )
)
