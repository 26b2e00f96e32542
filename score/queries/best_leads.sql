-- The best leads and why: the highest scores, each with its strongest reasons. As they are printed,
-- the points of the reasons, of what caps took away and of rounding add up to the score.
WITH parts AS (
  SELECT model, subject_type, subject_id, as_of, rule LIKE 'clip:%' AS cut,
         CASE WHEN cut THEN 'caps' ELSE rule END AS reason,
         count(*) AS times, round(sum(points), 2) AS points
  FROM score_explanations
  WHERE rule <> 'round'
  GROUP BY ALL
),
reasons AS (
  SELECT model, subject_type, subject_id, as_of, sum(points) AS points,
         string_agg(CASE WHEN cut THEN '' ELSE times || ' × ' END || reason || ' '
                    || printf('%+.2f', CAST(points AS DOUBLE)),
                    ', ' ORDER BY cut, abs(points) DESC, reason) FILTER (points <> 0) AS terms
  FROM parts
  GROUP BY ALL
)
SELECT s.model, s.score, s.grade, s.sales_ready,
       coalesce(c.email, s.subject_id) AS lead,
       nullif(concat_ws(' ', c.first_name, c.last_name), '') AS name,
       c.company,
       nullif(concat_ws(', ', r.terms, CASE WHEN r.points <> s.score THEN 'rounding '
                        || printf('%+.2f', CAST(s.score - r.points AS DOUBLE)) END), '') AS why
FROM scores AS s
LEFT JOIN reasons AS r USING (model, subject_type, subject_id, as_of)
LEFT JOIN contacts AS c ON s.subject_type = 'contact' AND c.contact_id = s.subject_id
WHERE s.score > 0
ORDER BY s.score DESC, s.model, s.subject_id
LIMIT 10
