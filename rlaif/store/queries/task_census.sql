-- Tasks of one job by stage, state and reason, most frequent first.
SELECT stage, state, reason, count(*) AS tasks
FROM task_states
WHERE job_id = $job_id
GROUP BY stage, state, reason
ORDER BY tasks DESC, stage, state, reason;
