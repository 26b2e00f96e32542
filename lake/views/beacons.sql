-- Every beacon once: one event of one visitor on one site.
-- like: beacons
-- contact_id: The contact whose edge was in force then, or that opened a mail; NULL: nobody, or no
-- consent to know.
SELECT event_id, site, visitor_id,
       CASE WHEN consent <> 'identified' THEN NULL
            -- A mail is opened in no browser: its pixel says whose it is.
            WHEN visitor_id IS NULL AND NOT is_bot THEN recipient
            WHEN edges IS NULL THEN NULL
            WHEN len(edges) = 1 THEN edges[1].contact_id
            ELSE list_filter(edges, lambda e: e.starts <= occurred_at)[-1].contact_id
       END AS contact_id,
       b.* EXCLUDE (event_id, site, visitor_id, props), TRY_CAST(props AS JSON) AS props
FROM files.beacons b LEFT JOIN files.edges USING (site, visitor_id)
