-- The best leads and why: the highest scores, each with its strongest reasons. The points of the
-- reasons and of what caps took away add up to the score.
WITH parts AS (
  SELECT model, subject_type, subject_id, as_of, rule LIKE 'clip:%' OR rule = 'round' AS cut,
         CASE WHEN cut THEN 'caps' ELSE rule END AS reason,
         count(*) AS times, sum(points) AS points
  FROM score_explanations
  GROUP BY ALL
),
ranked AS (
  SELECT *, row_number() OVER (
           PARTITION BY model, subject_type, subject_id, as_of
           ORDER BY cut, abs(points) DESC, reason) AS place
  FROM parts
  WHERE round(points, 2) <> 0
),
reasons AS (
  SELECT model, subject_type, subject_id, as_of,
         string_agg(CASE WHEN cut THEN '' ELSE times || ' × ' END || reason || ' '
                    || printf('%+.8g', CAST(round(points, 2) AS DOUBLE)),
                    ', ' ORDER BY place) AS why
  FROM ranked
  GROUP BY ALL
)
SELECT s.model, s.score, s.grade, s.sales_ready,
       coalesce(c.email, s.subject_id) AS lead,
       nullif(concat_ws(' ', c.first_name, c.last_name), '') AS name,
       c.company, r.why
FROM scores AS s
LEFT JOIN reasons AS r USING (model, subject_type, subject_id, as_of)
LEFT JOIN contacts AS c ON s.subject_type = 'contact' AND c.contact_id = s.subject_id
WHERE s.score > 0
ORDER BY s.score DESC, s.model, s.subject_id
LIMIT 10
