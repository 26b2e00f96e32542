-- What led to conversions, by first, last, last not direct and linear touch; each column adds up to all.
-- A touch is a visit that began before the conversion, and no longer before than the lookback. First and
-- last give all to one touch, linear as much to each, as in Matomo and as GA had it; last_not_direct
-- passes over direct and internal visits where there are others, as GA's last click does. Each
-- conversion counts. What no visit led to stands beside a touch that is NULL.
-- $goal VARCHAR 'form_submit': The conversion: a type of beacon, or the path of a page as a GLOB pattern.
-- $by VARCHAR 'channel': What of a touch: channel, utm_source, utm_medium or utm_campaign.
-- $lookback INTERVAL '30 days': How long before a conversion a visit may have begun.
-- $subject VARCHAR 'visitor': Whose visits: visitor, or contact (where it is known, else the visitor).
-- $site VARCHAR NULL: Key of the site; NULL: all.
-- $first_day DATE NULL: The first day that counts, UTC; NULL: from the beginning.
-- $last_day DATE NULL: The last day that counts; NULL: to the end.
WITH conversions AS (
  SELECT CASE WHEN $subject = 'contact' AND contact_id IS NOT NULL THEN contact_id
              ELSE site || ' ' || visitor_id END AS subject, event_id, occurred_at
  FROM beacons
  WHERE NOT is_bot AND visitor_id IS NOT NULL
    AND (type = $goal OR (type = 'page_view' AND url_path GLOB $goal))
    AND ($site IS NULL OR site = $site)
    AND occurred_at >= coalesce($first_day, DATE '-infinity')
    AND occurred_at < coalesce($last_day, DATE '9999-01-01') + 1
),
touches AS (
  SELECT CASE WHEN $subject = 'contact' AND contact_id IS NOT NULL THEN contact_id
              ELSE site || ' ' || visitor_id END AS subject,
         visit_id, started_at, channel NOT IN ('direct', 'internal') AS is_led,
         CASE $by WHEN 'channel' THEN channel WHEN 'utm_source' THEN utm_source
                  WHEN 'utm_medium' THEN utm_medium WHEN 'utm_campaign' THEN utm_campaign
                  ELSE error('by: ' || $by || ' is none of channel, utm_source, utm_medium, '
                             || 'utm_campaign') END AS touch
  FROM visits WHERE NOT is_bot
),
credits AS (
  SELECT touch,
         CAST(row_number() OVER (conversion ORDER BY started_at, visit_id) = 1 AS INTEGER) AS first,
         CAST(row_number() OVER (conversion ORDER BY started_at DESC, visit_id DESC) = 1 AS INTEGER)
           AS last,
         CAST(row_number() OVER (
           conversion ORDER BY coalesce(is_led, false) DESC, started_at DESC, visit_id DESC
         ) = 1 AS INTEGER) AS last_not_direct,
         1 / count(*) OVER (conversion) AS linear
  FROM conversions c LEFT JOIN touches t
  ON c.subject = t.subject AND started_at <= occurred_at AND started_at > occurred_at - $lookback
  WINDOW conversion AS (PARTITION BY c.subject, event_id)
)
SELECT touch, sum(first)::BIGINT AS first, sum(last)::BIGINT AS last,
       sum(last_not_direct)::BIGINT AS last_not_direct, round(sum(linear), 4) AS linear
FROM credits GROUP BY touch ORDER BY linear DESC, touch
