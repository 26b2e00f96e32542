-- Beacons of type page_view.
-- like: beacons
-- contact_id: The contact whose edge was in force when it happened, as of now; NULL: nobody known.
-- was_anonymous: True where it happened before it was known whose it is.
-- identified_by: The submission by which it is known whose it is.
FROM beacons WHERE type = 'page_view'
