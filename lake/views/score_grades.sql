-- How many subjects have which grade, by their newest scores.
-- model: Name of the model.
-- subject_type: contact, visitor or account.
-- grade: Name of the grade; empty below the lowest, and where the model has none.
-- subjects: How many subjects have it.
-- share: Their share of all subjects.
-- sales_ready: How many of them are ready for sales.
-- least: The least score among them.
-- most: The highest score among them.
SELECT model, subject_type, coalesce(grade, '') AS grade, count(*) AS subjects,
       round(count(*) / sum(count(*)) OVER (PARTITION BY model, subject_type), 4) AS share,
       count(*) FILTER (sales_ready) AS sales_ready, min(score) AS least, max(score) AS most
FROM scores
GROUP BY model, subject_type, coalesce(grade, '')
ORDER BY model, subject_type, least
