-- The ten pages of each site that people, not bots, viewed most.
-- site: Key of the site.
-- rank: Place of the page on its site, from 1.
-- url_host: Host of the page.
-- url_path: Path of the page.
-- page_views: How often it was viewed.
-- visitors: How many visitors viewed it, those without consent to visits left out.
SELECT site, row_number() OVER places AS rank, url_host, url_path, page_views, visitors
FROM (
  SELECT site, url_host, url_path, count(*) AS page_views, count(DISTINCT visitor_id) AS visitors
  FROM page_views WHERE NOT is_bot
  GROUP BY ALL
)
WINDOW places AS (PARTITION BY site ORDER BY page_views DESC, url_host, url_path)
QUALIFY rank <= 10
