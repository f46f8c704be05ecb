-- Some tasks of one job: failed ones first, then in the order of their stages' names.
SELECT task_id, stage, state, reason, len(outputs) AS records
FROM task_states
WHERE
    job_id = $job_id
    AND ($state = '' OR state = $state)
    AND ($stage = '' OR stage = $stage)
ORDER BY state DESC, stage, task_id
LIMIT $limit OFFSET $skip;
