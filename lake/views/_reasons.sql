-- Why what a visitor does is a contact's, by the submission that says so.
SELECT i.site, visitor_id, i.submission_id AS identified_by,
       concat_ws('; ', CASE evidence WHEN 'form' THEN 'form submission'
                                     WHEN 'sign_in' THEN 'sign-in'
                                     WHEN 'api' THEN 'API call'
                                     ELSE replace(evidence, '_', ' ')
                       END || ' ' || i.submission_id, because) AS because
FROM main.identities i LEFT JOIN main.records r USING (record_id)
WHERE i.submission_id IS NOT NULL
