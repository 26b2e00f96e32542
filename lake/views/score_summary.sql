-- Each model at a glance, over the newest score of each subject.
-- model: Name of the model.
-- subject_type: contact, visitor or account.
-- as_of: The newest moment that a score of the model is of.
-- scored: How many subjects have a score.
-- leads: How many of them have a score above 0.
-- sales_ready: How many of them are ready for sales.
-- average: Mean of the scores.
-- median: Half of the subjects have this score or more.
-- top_decile: The best tenth of the subjects have this score or more.
-- best: The highest score.
SELECT model, subject_type, max(as_of) AS as_of, count(*) AS scored,
       count(*) FILTER (score > 0) AS leads, count(*) FILTER (sales_ready) AS sales_ready,
       -- An exact sum: a mean of DOUBLE would depend on the order of the rows.
       round(CAST(sum(score) AS DOUBLE) / count(*), 2) AS average,
       quantile_disc(score, 0.5) AS median, quantile_disc(score, 0.9) AS top_decile,
       max(score) AS best
FROM scores
GROUP BY model, subject_type
