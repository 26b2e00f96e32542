-- How many subjects have how much, by model, in twenty ranges of equal width over the scores that
-- there are.
-- model: Name of the model.
-- subject_type: contact, visitor or account.
-- from_score: Least score of the range.
-- to_score: Where the next range begins; in the last range there is none, its scores reach this.
-- subjects: How many subjects have a score in the range.
-- share: Their share of all subjects.
WITH bounds AS (
  SELECT model, subject_type, min(score) AS low, max(score) AS high, count(*) AS subjects
  FROM scores
  GROUP BY model, subject_type
),
placed AS (
  SELECT model, subject_type,
         CASE WHEN high = low THEN 0
              ELSE least(19, CAST(floor((score - low) * 20 / (high - low)) AS BIGINT))
         END AS bin
  FROM scores JOIN bounds USING (model, subject_type)
),
counted AS (
  SELECT model, subject_type, bin, count(*) AS subjects
  FROM placed
  GROUP BY model, subject_type, bin
)
SELECT model, subject_type,
       CAST(low + (high - low) * bin / 20 AS DECIMAL(9,2)) AS from_score,
       CAST(low + (high - low) * (bin + 1) / 20 AS DECIMAL(9,2)) AS to_score,
       coalesce(c.subjects, 0) AS subjects,
       round(coalesce(c.subjects, 0) / b.subjects, 4) AS share
FROM bounds AS b
JOIN (SELECT unnest(range(20)) AS bin) ON high > low OR bin = 0
LEFT JOIN counted AS c USING (model, subject_type, bin)
ORDER BY model, subject_type, bin
