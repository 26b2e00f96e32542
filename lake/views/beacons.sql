-- Every beacon once: one event of one visitor on one site.
-- like: beacons
-- contact_id: The contact whose edge was in force then; NULL: nobody, or no consent to know.
SELECT event_id, site, visitor_id,
       CASE WHEN edges IS NULL OR consent <> 'identified' THEN NULL
            WHEN len(edges) = 1 THEN edges[1].contact_id
            ELSE list_filter(edges, lambda e: e.starts <= occurred_at)[-1].contact_id
       END AS contact_id,
       b.* EXCLUDE (event_id, site, visitor_id, props), TRY_CAST(props AS JSON) AS props
FROM files.beacons b LEFT JOIN files.edges USING (site, visitor_id)
