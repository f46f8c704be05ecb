-- Views for people who query with SQL, and for the named queries.

-- How each task of each job stands: a done stands over any failed, else the newest failure counts.
-- Rows lie in the order they were committed, so rowid tells which is newest.
CREATE VIEW task_states AS
SELECT
    job_id,
    task_id,
    arg_max(stage, (state = 'done', rowid)) AS stage,
    arg_max(state, (state = 'done', rowid)) AS state,
    arg_max(reason, (state = 'done', rowid)) AS reason,
    arg_max(outputs, (state = 'done', rowid)) AS outputs
FROM tasks
GROUP BY job_id, task_id;

-- How each job stands: its newest event; a job without one is 'planned'.
CREATE VIEW job_states AS
SELECT
    jobs.id AS job_id,
    jobs.name,
    coalesce(arg_max(event.state, event.rowid), 'planned') AS state,
    min(event."at") AS started_at,
    arg_max(event."at", event.rowid) AS changed_at,
    coalesce(arg_max(event.note, event.rowid), '') AS note
FROM jobs
LEFT JOIN job_events AS event ON event.job_id = jobs.id
GROUP BY jobs.id, jobs.name;

-- Preferences with their text.
CREATE VIEW pairs AS
SELECT
    preference.*,
    sets.name AS set_name,
    json_extract_string(prompt.messages, '$[#-1].content') AS prompt,
    chosen.response AS chosen,
    rejected.response AS rejected
FROM preferences AS preference
JOIN prompts AS prompt ON prompt.id = preference.prompt_id
JOIN samples AS chosen ON chosen.id = preference.chosen_id
JOIN samples AS rejected ON rejected.id = preference.rejected_id
LEFT JOIN sets ON sets.id = preference."set";
