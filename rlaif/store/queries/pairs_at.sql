-- The pairs at some places with the beginnings of their texts. Every text is found by its place, and its id is
-- looked at: what the index says of it is never taken on trust.
WITH
    one AS MATERIALIZED (
        SELECT rowid AS place, * EXCLUDE (judgment_ids, mass, constitution)
        FROM preferences
        WHERE rowid IN (SELECT unnest($places))
    ),
    lying AS MATERIALIZED (
        SELECT place, prompt, chosen, rejected FROM pair_index WHERE place IN (SELECT unnest($places))
    ),
    texts AS MATERIALIZED (
        SELECT rowid AS place, id, response
        FROM samples
        WHERE rowid IN (SELECT chosen FROM lying UNION ALL SELECT rejected FROM lying)
    ),
    asked AS MATERIALIZED (
        SELECT rowid AS place, id, messages FROM prompts WHERE rowid IN (SELECT prompt FROM lying)
    )
SELECT
    one.*,
    left(array_to_string(json_extract_string(asked.messages, '$[*].content'), chr(10)), $excerpt) AS prompt,
    left(chosen.response, $excerpt) AS chosen,
    left(rejected.response, $excerpt) AS rejected,
    length(chosen.response) AS chosen_length,
    length(rejected.response) AS rejected_length
FROM one
JOIN lying ON lying.place = one.place
JOIN asked ON asked.place = lying.prompt AND asked.id = one.prompt_id
JOIN texts AS chosen ON chosen.place = lying.chosen AND chosen.id = one.chosen_id
JOIN texts AS rejected ON rejected.place = lying.rejected AND rejected.id = one.rejected_id
ORDER BY one.place;
