-- What visitors and contacts did, one thing a row; order it by occurred_at, ordinal.
-- occurred_at: When it happened.
-- ordinal: Order of what happened at the same moment: a visit first, beacons as they came in,
-- submissions last.
-- site: Key of the site.
-- visitor_id: The browser on that site.
-- contact_id: The contact that it belongs to; NULL: nobody known.
-- kind: visit, page_view, link_click, mail_open or submission.
-- id: visit_id, event_id or submission_id.
-- what: Channel of a visit, address of a page, target of a link, campaign of a mail, name of a form.
SELECT started_at AS occurred_at, -1::BIGINT AS ordinal, site, visitor_id, contact_id,
       'visit' AS kind, visit_id AS id, channel AS what
FROM visits
UNION ALL
SELECT occurred_at, topic_offset, site, visitor_id, contact_id, type, event_id, url
FROM page_views
UNION ALL
SELECT occurred_at, topic_offset, site, visitor_id, contact_id, type, event_id,
       coalesce(target, url)
FROM link_clicks
UNION ALL
SELECT occurred_at, topic_offset, site, visitor_id, contact_id, 'mail_open', event_id, utm_campaign
FROM mail_opens
UNION ALL
-- Offsets of another topic: past any that beacons can have.
SELECT occurred_at, (1::BIGINT << 61) + topic_offset, site, visitor_id, contact_id, 'submission',
       submission_id, form
FROM submissions
