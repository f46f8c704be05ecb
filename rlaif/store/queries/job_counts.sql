-- What some jobs have come to: tasks, each counted once, and preferences of the sets as they are now.
WITH
    counted AS (
        SELECT
            job_id,
            count(DISTINCT task_id) AS ended,
            count(DISTINCT task_id) FILTER (WHERE state = 'done') AS done
        FROM tasks
        WHERE job_id IN (SELECT unnest($job_ids))
        GROUP BY job_id
    ),
    made AS (
        SELECT job_id, sum(preferred) AS preferences
        FROM (
            SELECT
                job_id,
                name,
                coalesce(arg_max((counts ->> 'preferred')::BIGINT, rowid), 0) AS preferred
            FROM sets
            WHERE job_id IN (SELECT unnest($job_ids))
            GROUP BY job_id, name
        )
        GROUP BY job_id
    )
SELECT
    job_id,
    coalesce(counted.ended, 0) AS ended,
    coalesce(counted.ended - counted.done, 0) AS failed,
    coalesce(made.preferences, 0)::BIGINT AS preferences
FROM counted
FULL JOIN made USING (job_id);
