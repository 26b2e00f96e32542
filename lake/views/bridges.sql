-- Edges that a contact hangs on: without one of them it would fall into two. The least probable
-- are the ones to look at.
-- contact_id: The contact.
-- left_record_id: The record with the lesser number.
-- right_record_id: The other record.
-- verdict: likely (the model), exact (a strategy) or accepted (a person).
-- weight: By the model: logarithm to base 2 of the odds that both are one.
-- probability: By the model: how probable it is that both are one.
-- evidence: Name of the strategy, what brought the pair together, or who decided.
WITH RECURSIVE inner_edges AS MATERIALIZED (
  SELECT left_contact_id AS contact_id, left_record_id, right_record_id, verdict, weight,
         probability, evidence
  FROM edges WHERE left_contact_id = right_contact_id AND verdict <> 'rejected'
),
steps AS MATERIALIZED (
  SELECT left_record_id AS this, right_record_id AS next FROM inner_edges
  UNION ALL
  SELECT right_record_id, left_record_id FROM inner_edges
),
-- An edge whose ends have a third record in common is none.
suspects AS MATERIALIZED (
  FROM inner_edges i
  WHERE NOT EXISTS (
    FROM steps l JOIN steps r USING (next)
    WHERE l.this = i.left_record_id AND r.this = i.right_record_id
  )
),
-- What the left end still reaches without the edge.
reached AS (
  SELECT left_record_id, right_record_id, left_record_id AS record_id FROM suspects
  UNION
  SELECT left_record_id, right_record_id, next
  FROM reached JOIN steps ON this = record_id
  WHERE NOT (this = left_record_id AND next = right_record_id)
    AND NOT (this = right_record_id AND next = left_record_id)
)
FROM suspects
ANTI JOIN (FROM reached WHERE record_id = right_record_id) USING (left_record_id, right_record_id)
