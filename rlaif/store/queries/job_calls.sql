-- Calls of one job whose reply became a record: each request counted once, failed transports left out.
WITH made AS (
    SELECT unnest(outputs) AS id FROM task_states WHERE job_id = $job_id AND state = 'done'
),
answered AS (
    SELECT id, request_key FROM samples
    UNION ALL
    SELECT id, request_key FROM judgments WHERE status <> 'transport_failed'
    UNION ALL
    SELECT id, request_key FROM scores WHERE status <> 'transport_failed'
)
SELECT count(DISTINCT request_key) AS calls FROM answered WHERE id IN (SELECT id FROM made);
