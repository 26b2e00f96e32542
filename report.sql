-- One row: the figures that `demo` and `replay` print.
SELECT
    -- As the sessionizer counted them: a rebuild turns copies that came too late into duplicates.
    (SELECT coalesce(sum(beacons), 0)::BIGINT FROM files.visits WHERE rebuild_id IS NULL) AS in_visits,
    (SELECT count(*) FROM visits) AS visits,
    (SELECT count(*) FROM visits WHERE late) AS late,
    (SELECT count(*) FROM visitors) AS visitors,
    (SELECT count(*) FROM submissions) AS submissions,
    (SELECT count(*) FROM contacts) AS contacts,
    (SELECT count(*) FROM (
        SELECT contact_id FROM identities GROUP BY contact_id
        HAVING count(DISTINCT (site, visitor_id)) > 1)) AS joined,
    (SELECT count(*) FROM visits WHERE was_anonymous) AS anonymous,
    (SELECT count(*) FROM bad_beacons) AS bad,
    (SELECT count(*) FROM scores) AS scores,
    (SELECT count(*) FROM reviews WHERE state = 'open') AS reviews
