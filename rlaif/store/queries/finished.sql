-- Finished tasks of any job, with what they produced and whether the given job has finished them itself.
SELECT
    task_id,
    arg_min(outputs, rowid) AS outputs,
    bool_or(job_id = $job_id) AS own
FROM tasks
WHERE state = 'done'
GROUP BY task_id
ORDER BY task_id;
