-- Each browser on each site, by the visits of people, not bots.
-- site: Key of the site.
-- browser: Name of the browser; NULL: not known.
-- visits: How many visits were made with it.
-- visitors: How many visitors made them.
-- page_views: Page views in those visits.
-- share: Part of the site's visits, from 0 to 1.
SELECT site, browser, count(*) AS visits, count(DISTINCT visitor_id) AS visitors,
       sum(page_views)::BIGINT AS page_views,
       count(*) / sum(count(*)) OVER (PARTITION BY site) AS share
FROM visits WHERE NOT is_bot
GROUP BY site, browser
