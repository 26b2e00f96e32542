-- Every click of people, not bots, on a link, one a row; order it by occurred_at, event_id.
-- occurred_at: When it was clicked.
-- site: Key of the site.
-- visitor_id: The browser on that site.
-- contact_id: The contact whose edge was in force when it happened, as of now; NULL: nobody known.
-- event_id: The click's beacon.
-- url: The page with the link.
-- target: Where the link leads.
SELECT occurred_at, site, visitor_id, contact_id, event_id, url, target
FROM link_clicks WHERE NOT is_bot
