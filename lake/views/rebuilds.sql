-- Every rebuild of visits and what came of it.
-- rebuild_id: Id of the rebuild, in visits and visit_changes, too.
-- rebuilt_at: When it ran.
-- from_day: The first day whose visits it made again, UTC.
-- to_day: The last of those days.
-- visits_before: Visits of those days, and what hangs together with them, as they stood.
-- visits_after: The same as they are since.
-- added: Visits that are new.
-- changed: Visits that say something else.
-- gone: Visits that there are no longer: their beacons are in others.
-- late_beacons: Beacons of late visits that found their place.
-- open: Visits that stayed as they were, as one that hangs together with them was still open.
-- incomplete: Visits that stayed as they were, as the lake has their beacons no longer.
SELECT rebuild_id, rebuilt_at, from_day::DATE AS from_day, to_day::DATE AS to_day,
       sum(visits_before)::BIGINT AS visits_before, sum(visits_after)::BIGINT AS visits_after,
       sum(added)::BIGINT AS added, sum(changed)::BIGINT AS changed, sum(gone)::BIGINT AS gone,
       sum(late_beacons)::BIGINT AS late_beacons, sum("open")::BIGINT AS "open",
       sum(incomplete)::BIGINT AS incomplete
FROM files.rebuilds
GROUP BY ALL
