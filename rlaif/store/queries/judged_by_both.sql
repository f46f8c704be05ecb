-- Pairs that two judges decided, each under its own constitution and template: the probability of the response
-- with the smaller id, averaged over the orders shown; and a preference that came of the pair, if any.
WITH
    said AS (
        SELECT
            CASE
                WHEN judge = $judge_a AND constitution = $constitution_a AND template = $template_a THEN 'a'
                WHEN judge = $judge_b AND constitution = $constitution_b AND template = $template_b THEN 'b'
            END AS who,
            axis,
            prompt_id,
            least(first_id, second_id) AS first_id,
            greatest(first_id, second_id) AS second_id,
            CASE WHEN first_id < second_id THEN p_first ELSE 1 - p_first END AS p
        FROM judgments
        WHERE status = 'ok' AND judge IN ($judge_a, $judge_b)
    ),
    averaged AS (
        SELECT who, axis, prompt_id, first_id, second_id, avg(p) AS p
        FROM said
        WHERE who IS NOT NULL
        GROUP BY ALL
    ),
    shared AS (
        SELECT one.axis, one.prompt_id, one.first_id, one.second_id, one.p AS a, other.p AS b
        FROM averaged AS one
        JOIN averaged AS other USING (axis, prompt_id, first_id, second_id)
        WHERE one.who = 'a' AND other.who = 'b'
    ),
    kept AS (
        SELECT
            axis,
            least(chosen_id, rejected_id) AS first_id,
            greatest(chosen_id, rejected_id) AS second_id,
            min(id) AS id
        FROM preferences
        WHERE judge IN ($judge_a, $judge_b)
        GROUP BY ALL
    )
SELECT
    shared.axis,
    shared.prompt_id,
    shared.first_id,
    shared.second_id,
    shared.a,
    shared.b,
    left(prompts.messages ->> '$[#-1].content', 300) AS prompt,
    kept.id AS preference
FROM shared
JOIN prompts ON prompts.id = shared.prompt_id
LEFT JOIN kept
    ON kept.axis = shared.axis AND kept.first_id = shared.first_id AND kept.second_id = shared.second_id
ORDER BY shared.prompt_id, shared.first_id, shared.second_id;
