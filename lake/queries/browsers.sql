-- Browsers, operating systems and devices, by visits.
-- As Matomo's and GA4's technology reports, by visit: a visitor with two browsers is two visitors.
-- $by VARCHAR 'browser': What to tell apart: browser, os, device, country or language.
-- $site VARCHAR NULL: Key of the site; NULL: all.
-- $first_day DATE NULL: The first day that counts, UTC; NULL: from the beginning.
-- $last_day DATE NULL: The last day that counts; NULL: to the end.
SELECT site,
       CASE $by WHEN 'browser' THEN browser WHEN 'os' THEN os WHEN 'device' THEN device
                WHEN 'country' THEN country WHEN 'language' THEN language
                ELSE error('by: ' || $by || ' is none of browser, os, device, country, language')
       END AS name,
       count(*) AS visits, count(DISTINCT visitor_id) AS visitors,
       round(count(*) / sum(count(*)) OVER (PARTITION BY site), 4) AS share,
       round(count(*) FILTER (is_bounce) / count(*), 4) AS bounce_rate
FROM visits
WHERE NOT is_bot AND ($site IS NULL OR site = $site)
  AND started_at >= coalesce($first_day, DATE '-infinity')
  AND started_at < coalesce($last_day, DATE '9999-01-01') + 1
GROUP BY site, name ORDER BY visits DESC, site, name
