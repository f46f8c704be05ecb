-- How many people say something of pairs of some samples.
SELECT axis, low_id, high_id, count(*) AS people
FROM standing_labels
WHERE low_id IN (SELECT unnest($sample_ids))
GROUP BY axis, low_id, high_id;
