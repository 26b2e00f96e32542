-- What visitors and contacts did, one thing a row; order it by occurred_at, ordinal.
-- occurred_at: When it happened.
-- ordinal: Order of what happened at the same moment: a visit first, beacons as they came in,
-- then submissions, hand-offs last.
-- site: Key of the site.
-- visitor_id: The browser on that site.
-- contact_id: The contact that it belongs to, as of now; NULL: nobody known.
-- kind: visit, page_view, link_click, mail_open, submission or handoff.
-- id: visit_id, event_id, submission_id or handoff_id.
-- what: Channel of a visit, address of a page, target of a link, campaign of a mail, name of a form or,
-- where none was filled in, how it was said (sign_in, registration, signed_link, api), model of a
-- hand-off.
-- because: Why it belongs to that contact, in words.
WITH things AS (
  SELECT started_at AS occurred_at, -1::BIGINT AS ordinal, site, visitor_id, contact_id,
         'visit' AS kind, visit_id AS id, channel AS what, identified_by, NULL::VARCHAR AS record_id
  FROM visits
  UNION ALL
  SELECT occurred_at, topic_offset, site, visitor_id, contact_id, type, event_id, url, identified_by,
         NULL
  FROM page_views
  UNION ALL
  SELECT occurred_at, topic_offset, site, visitor_id, contact_id, type, event_id,
         coalesce(target, url), identified_by, NULL
  FROM link_clicks
  UNION ALL
  SELECT occurred_at, topic_offset, site, visitor_id, contact_id, 'mail_open', event_id,
         utm_campaign, NULL, recipient
  FROM mail_opens
  UNION ALL
  -- Offsets of another topic: past any that beacons can have.
  SELECT occurred_at, (1::BIGINT << 61) + topic_offset, site, visitor_id, contact_id, 'submission',
         submission_id, coalesce(form, kind), NULL, record_id
  FROM submissions
  UNION ALL
  SELECT became_ready_at, (1::BIGINT << 62) + topic_offset, NULL, NULL, contact_id, 'handoff',
         handoff_id, model, NULL, subject_id
  FROM handoffs
  WHERE subject_type = 'contact'
)
SELECT occurred_at, ordinal, t.site, t.visitor_id, t.contact_id, kind, id, what,
       CASE WHEN t.contact_id IS NULL THEN NULL
            WHEN identified_by IS NOT NULL THEN v.because
            WHEN kind = 'mail_open' THEN concat_ws('; ', 'the mail was made for them', r.because)
            WHEN kind = 'submission' THEN concat_ws('; ', 'what it says', r.because)
            WHEN kind = 'handoff' THEN concat_ws('; ', 'their score', r.because)
       END AS because
FROM things t
LEFT JOIN files.reasons v USING (site, visitor_id, identified_by)
LEFT JOIN records r ON t.record_id = r.record_id
