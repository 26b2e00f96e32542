-- The best tenth of each model's subjects, by their newest scores; who has as much as the last of
-- them is in it.
-- like: scores
-- place: Place among the model's subjects, from 1; the same for the same score.
SELECT * EXCLUDE (subjects)
FROM (
  SELECT *, rank() OVER (PARTITION BY model, subject_type ORDER BY score DESC) AS place,
         count(*) OVER (PARTITION BY model, subject_type) AS subjects
  FROM scores
)
WHERE place <= ceil(subjects / 10)
