-- Beacons of type page_view.
-- like: beacons
-- contact_id: The contact whose edge was in force when it happened; NULL: nobody known.
FROM beacons WHERE type = 'page_view'
