-- Every beacon once: one event of one visitor on one site.
-- like: beacons
-- contact_id: The contact whose edge was in force then, or that opened a mail, as of now; NULL:
-- nobody, or no consent to know.
-- was_anonymous: True where it happened before it was known whose it is.
-- identified_by: The submission by which it is known whose it is.
SELECT event_id, site, visitor_id,
       CASE WHEN consent <> 'identified' THEN NULL
            -- A mail is opened in no browser: its pixel says whose it is.
            WHEN visitor_id IS NULL AND NOT is_bot THEN coalesce(reader, recipient)
            ELSE edge.contact_id
       END AS contact_id,
       coalesce(consent = 'identified' AND occurred_at < edge.linked_at, false) AS was_anonymous,
       * EXCLUDE (event_id, site, visitor_id, props, edge, reader), TRY_CAST(props AS JSON) AS props,
       CASE WHEN consent = 'identified' THEN edge.submission_id END AS identified_by
FROM (
  SELECT b.*,
         CASE WHEN len(edges) = 1 THEN edges[1]
              ELSE list_filter(edges, lambda e: e.starts <= occurred_at)[-1]
         END AS edge,
         a.current_contact_id AS reader
  FROM files.beacons b LEFT JOIN files.visitors USING (site, visitor_id)
  LEFT JOIN aliases a ON b.recipient = a.contact_id
)
