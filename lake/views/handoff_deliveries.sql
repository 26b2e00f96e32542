-- What became of hand-offs at webhooks. One that is sent again has several rows.
-- like: handoff_deliveries
-- status: HTTP status of the last answer; NULL: there was none.
SELECT * REPLACE (nullif(status, 0) AS status)
FROM files.handoff_deliveries
