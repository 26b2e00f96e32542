-- What visitors and contacts did, one thing a row; order it by occurred_at.
-- occurred_at: When it happened.
-- site: Key of the site.
-- visitor_id: The browser on that site.
-- contact_id: The contact that it belongs to; NULL: nobody known.
-- kind: visit, page_view, link_click or submission.
-- id: visit_id, event_id or submission_id.
-- what: Channel of a visit, address of a page or link, name of a form.
SELECT started_at AS occurred_at, site, visitor_id, contact_id, 'visit' AS kind, visit_id AS id,
       channel AS what
FROM visits
UNION ALL
SELECT occurred_at, site, visitor_id, contact_id, type, event_id, url
FROM beacons WHERE type IN ('page_view', 'link_click')
UNION ALL
SELECT occurred_at, site, visitor_id, contact_id, 'submission', submission_id, form
FROM submissions
