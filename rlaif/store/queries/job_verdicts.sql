-- Answers of judges that hold no verdict or score, by status, among what a job's tasks produced.
WITH made AS (
    SELECT unnest(outputs) AS id FROM task_states WHERE job_id = $job_id AND state = 'done'
),
answers AS (
    SELECT id, status FROM judgments WHERE status <> 'ok'
    UNION ALL
    SELECT id, status FROM scores WHERE status <> 'ok'
)
SELECT status, count(*) AS answers
FROM answers
WHERE id IN (SELECT id FROM made)
GROUP BY status
ORDER BY answers DESC, status;
