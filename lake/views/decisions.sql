-- What was decided on each submission, and why.
-- like: decisions
-- contact_id: The contact that it went to, as of now.
-- contact_id_then: The contact that it went to.
SELECT d.* EXCLUDE (contact_id, record_id, runners_up, comparison, merged, parted),
       coalesce(current_contact_id, record_id, d.contact_id) AS contact_id,
       d.contact_id AS contact_id_then, coalesce(record_id, d.contact_id) AS record_id,
       TRY_CAST(runners_up AS JSON) AS runners_up, TRY_CAST(comparison AS JSON) AS comparison,
       CAST(TRY_CAST(merged AS JSON) AS VARCHAR[]) AS merged,
       CAST(TRY_CAST(parted AS JSON) AS VARCHAR[]) AS parted
FROM (
  FROM files.decisions
  QUALIFY row_number() OVER (
    PARTITION BY site, visitor_id, submission_id ORDER BY topic_offset DESC
  ) = 1
) d LEFT JOIN aliases a ON coalesce(record_id, d.contact_id) = a.contact_id
