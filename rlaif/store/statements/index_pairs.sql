-- Indexes the pairs from a place on that are not there yet, and returns a hash of each row it added. Samples are
-- found by the column of ids alone, then by place: to join them whole would read every text of the store.
INSERT INTO pair_index
WITH
    one AS MATERIALIZED (
        SELECT rowid AS place, * FROM preferences
        WHERE rowid >= $start AND rowid NOT IN (SELECT place FROM pair_index)
    ),
    named AS MATERIALIZED (
        SELECT id, rowid AS place FROM samples
        WHERE id IN (SELECT chosen_id FROM one UNION ALL SELECT rejected_id FROM one)
    ),
    measured AS MATERIALIZED (
        SELECT rowid AS place, length(response) AS characters FROM samples
        WHERE rowid IN (SELECT place FROM named)
    ),
    drawn AS MATERIALIZED (SELECT id, place, characters FROM named JOIN measured USING (place)),
    asked AS MATERIALIZED (
        SELECT id, rowid AS place FROM prompts WHERE id IN (SELECT prompt_id FROM one)
    )
SELECT
    one.place, one."set", one.axis, one.judge, one.principle_id, one.margin,
    coalesce(one.p_chosen_first <= 0.5, false) OR coalesce(one.p_chosen_second <= 0.5, false),
    asked.place, chosen.place, rejected.place, abs(chosen.characters - rejected.characters)
FROM one
JOIN asked ON asked.id = one.prompt_id
JOIN drawn AS chosen ON chosen.id = one.chosen_id
JOIN drawn AS rejected ON rejected.id = one.rejected_id
ORDER BY one.place
RETURNING hash(*COLUMNS(*)) AS row_hash;
