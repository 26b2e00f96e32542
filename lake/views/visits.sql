-- Every visit: all beacons of one visitor on one site without a gap longer than the site's.
-- like: visits
-- without: engaged_ms, gone
-- contact_id: The contact whose edge was in force when it began, as of now; NULL: nobody, or no
-- consent to know.
-- was_anonymous: True where that contact became known only after the visit had begun.
-- identified_by: The submission by which it is known whose it is.
-- engaged_seconds: Time that its pages were in sight and in use, from pings.
-- absolute_seconds: Time from its first beacon to its last.
-- is_bounce: True where it has one page view and less than 10 engaged seconds.
-- is_engaged: True where it has two page views or more, or 10 engaged seconds or more.
-- entry_path: Path of entry_url, cut as url_path of beacons is.
-- exit_path: Path of exit_url, cut likewise.
-- rebuilt: True where a rebuild made it.
SELECT visit_id, site, visitor_id, edge.contact_id AS contact_id, started_at, ended_at,
       coalesce(started_at < edge.linked_at, false) AS was_anonymous,
       engaged_ms / 1000 AS engaged_seconds,
       date_diff('microsecond', started_at, ended_at) / 1e6 AS absolute_seconds,
       beacons, duplicates, page_views, pings, link_clicks, form_submits, customs, requests,
       page_views = 1 AND engaged_ms < 10_000 AS is_bounce,
       page_views > 1 OR engaged_ms >= 10_000 AS is_engaged,
       entry_url, exit_url,
       nullif(regexp_extract(regexp_replace(entry_url, '^[^?#]*?://[^/?#]*/?', '/'), '^[^?#]*'), '')
         AS entry_path,
       nullif(regexp_extract(regexp_replace(exit_url, '^[^?#]*?://[^/?#]*/?', '/'), '^[^?#]*'), '')
         AS exit_path,
       * EXCLUDE (visit_id, site, visitor_id, started_at, ended_at, engaged_ms, edge, beacons,
                  duplicates, page_views, pings, link_clicks, form_submits, customs, requests,
                  entry_url, exit_url),
       rebuild_id IS NOT NULL AS rebuilt, edge.submission_id AS identified_by
FROM (
  SELECT v.*,
         CASE WHEN edges IS NULL OR consent <> 'identified' THEN NULL
              WHEN len(edges) = 1 THEN edges[1]
              ELSE list_filter(edges, lambda e: e.starts <= started_at)[-1]
         END AS edge
  FROM files.current_visits v LEFT JOIN files.visitors USING (site, visitor_id)
)
