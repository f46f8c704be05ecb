-- The preferences of some sets that people have labelled, a row for each person, with what a scorecard needs.
WITH
    said AS MATERIALIZED (
        SELECT one.rowid AS place, label.person, label.winner_id
        FROM preferences AS one
        JOIN standing_labels AS label
            ON label.axis = one.axis
            AND label.low_id = least(one.chosen_id, one.rejected_id)
            AND label.high_id = greatest(one.chosen_id, one.rejected_id)
        WHERE list_contains($sets, one."set")
    ),
    one AS MATERIALIZED (
        SELECT rowid AS place, * FROM preferences WHERE rowid IN (SELECT place FROM said)
    ),
    texts AS MATERIALIZED (
        SELECT id, response, model
        FROM samples
        WHERE rowid IN (
            SELECT rowid FROM samples
            WHERE id IN (SELECT chosen_id FROM one UNION ALL SELECT rejected_id FROM one)
        )
    )
SELECT
    one.id, one.prompt_id, one.axis, one.judge, one.constitution,
    one.p, one.p_chosen_first, one.p_chosen_second, one.agreement,
    one.chosen_id, one.rejected_id,
    chosen.response AS chosen, chosen.model AS chosen_model,
    rejected.response AS rejected, rejected.model AS rejected_model,
    prompt.source,
    said.person, said.winner_id
FROM one
JOIN said USING (place)
JOIN texts AS chosen ON chosen.id = one.chosen_id
JOIN texts AS rejected ON rejected.id = one.rejected_id
JOIN prompts AS prompt ON prompt.id = one.prompt_id
ORDER BY one.place, said.person;
