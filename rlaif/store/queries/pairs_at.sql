-- The preferences at some places with the beginnings of their texts, those that pass a filter on texts.
-- Samples and prompts are found by rowid first: to join them would read every text of the store.
WITH
    one AS MATERIALIZED (
        SELECT rowid AS place, * EXCLUDE (judgment_ids, mass, constitution)
        FROM preferences
        WHERE rowid IN (SELECT unnest($places))
    ),
    texts AS MATERIALIZED (
        SELECT id, response
        FROM samples
        WHERE rowid IN (
            SELECT rowid FROM samples
            WHERE id IN (SELECT chosen_id FROM one UNION ALL SELECT rejected_id FROM one)
        )
    ),
    asked AS MATERIALIZED (
        SELECT id, messages
        FROM prompts
        WHERE rowid IN (SELECT rowid FROM prompts WHERE id IN (SELECT prompt_id FROM one))
    )
SELECT
    one.*,
    left(array_to_string(json_extract_string(asked.messages, '$[*].content'), chr(10)), $excerpt) AS prompt,
    left(chosen.response, $excerpt) AS chosen,
    left(rejected.response, $excerpt) AS rejected,
    length(chosen.response) AS chosen_length,
    length(rejected.response) AS rejected_length
FROM one
JOIN asked ON asked.id = one.prompt_id
JOIN texts AS chosen ON chosen.id = one.chosen_id
JOIN texts AS rejected ON rejected.id = one.rejected_id
WHERE ($gap IS NULL OR abs(length(chosen.response) - length(rejected.response)) >= $gap)
    AND (
        $text IS NULL
        OR contains(lower(asked.messages), $text)
        OR contains(lower(chosen.response), $text)
        OR contains(lower(rejected.response), $text)
    )
ORDER BY place
LIMIT $limit;
