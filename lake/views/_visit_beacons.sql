-- Each beacon that is in a visit, and that visit.
SELECT * EXCLUDE (span), span.visit_id AS visit_id, span.contact_id AS contact_id
FROM (
  SELECT b.*,
         -- Of several visits that it could be in, it is in the one that closed first after it came:
         -- what comes later is in a later one, and late.
         list_sort(list_transform(
           list_filter(spans, lambda s: s.first <= {'at': occurred_at, 'event_id': event_id}
                                        AND {'at': occurred_at, 'event_id': event_id} <= s.last
                                        AND s.input_partition = b.topic_partition
                                        AND s.last_offset >= b.topic_offset),
           lambda s: {'last_offset': s.last_offset, 'late': s.late, 'visit_id': s.visit_id,
                      'contact_id': s.contact_id}))[1] AS span
  FROM files.beacons b JOIN (
    SELECT site, visitor_id,
           list({'first': {'at': started_at, 'event_id': first_event_id},
                 'last': {'at': ended_at, 'event_id': last_event_id},
                 'input_partition': input_partition, 'last_offset': last_offset, 'late': late,
                 'visit_id': visit_id, 'contact_id': contact_id}) AS spans
    FROM main.visits
    GROUP BY site, visitor_id
  ) USING (site, visitor_id)
)
WHERE span IS NOT NULL
