-- Beacons of type link_click: clicks on links that lead away, and on named redirects.
-- like: beacons
-- contact_id: The contact whose edge was in force when it happened; NULL: nobody known.
FROM beacons WHERE type = 'link_click'
