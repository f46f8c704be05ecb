-- Every job and how it stands, newest change first.
SELECT job_id, name, state, started_at, changed_at, note
FROM job_states
ORDER BY changed_at DESC NULLS LAST, job_id;
