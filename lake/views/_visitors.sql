-- The edges of each visitor in one list, in order, so that a join with it never adds a row.
SELECT site, visitor_id,
       list({'starts': coalesce(valid_from, TIMESTAMPTZ '-infinity'), 'contact_id': contact_id,
             'linked_at': linked_at, 'submission_id': submission_id}
            ORDER BY valid_from NULLS FIRST, topic_offset) AS edges
FROM main.identities
GROUP BY site, visitor_id
