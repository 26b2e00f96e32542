-- Every record: what submissions said of a person in one set of words, and whose it is. Personal
-- data.
-- like: records
-- contact_id: The contact that it is of, as of now.
-- joined_to: The record of that contact that it has most in common with; NULL: it is the contact's
-- oldest.
-- because: What says that both are one, in words.
SELECT r.*, coalesce(a.current_contact_id, r.record_id) AS contact_id, e.other AS joined_to,
       CASE e.verdict WHEN 'exact' THEN 'merged by strategy ' || evidence
                      WHEN 'accepted' THEN 'merged, accepted by ' || evidence
                      WHEN 'likely' THEN 'merged by the model at '
                                         || printf('%.2f', floor(probability * 100) / 100)
       END AS because
FROM (
  FROM files.records
  QUALIFY row_number() OVER (PARTITION BY record_id ORDER BY topic_offset DESC) = 1
) r
LEFT JOIN aliases a ON r.record_id = a.contact_id
LEFT JOIN (
  SELECT * FROM (
    SELECT left_record_id AS record_id, right_record_id AS other, verdict, weight, probability,
           evidence, left_contact_id AS contact_id
    FROM edges WHERE left_contact_id = right_contact_id
    UNION ALL
    SELECT right_record_id, left_record_id, verdict, weight, probability, evidence, left_contact_id
    FROM edges WHERE left_contact_id = right_contact_id
  )
  WHERE record_id <> contact_id
  QUALIFY row_number() OVER (
    PARTITION BY record_id
    ORDER BY CASE verdict WHEN 'accepted' THEN 0 WHEN 'exact' THEN 1 ELSE 2 END,
             weight DESC NULLS LAST, other
  ) = 1
) e ON r.record_id = e.record_id
