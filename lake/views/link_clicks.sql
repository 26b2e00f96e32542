-- Clicks on links that lead away, and on redirects, one each; is_bot marks those of machines.
-- like: beacons
-- contact_id: The contact whose edge was in force when it happened, as of now; NULL: nobody known.
-- was_anonymous: True where it happened before it was known whose it is.
-- identified_by: The submission by which it is known whose it is.
-- target: Where the link leads.
SELECT *, props->>'href' AS target FROM beacons WHERE type = 'link_click'
