-- Places of the pairs under a filter, in the order they were made, from a place on; how many there are, and how
-- many from that place on. Only the index is read, and the ids of samples where flags or people's labels count.
-- What belongs to filters that are off is empty.
WITH
    flagged AS MATERIALIZED (
        SELECT DISTINCT flags."set", sample.rowid AS sample
        FROM flags
        JOIN samples AS sample ON sample.id = flags.sample_id
        WHERE $flag IS NOT NULL AND ($flag = 'any' OR list_contains(flags.names, $flag))
    ),
    label AS MATERIALIZED (SELECT * FROM standing_labels WHERE $people_differ OR $labelled IS NOT NULL),
    named AS MATERIALIZED (
        SELECT id, rowid AS place
        FROM samples
        WHERE id IN (SELECT low_id FROM label UNION ALL SELECT high_id FROM label)
    ),
    said AS MATERIALIZED (
        SELECT label.axis, low.place AS low, high.place AS high, label.winner_id = label.low_id AS low_wins
        FROM label
        JOIN named AS low ON low.id = label.low_id
        JOIN named AS high ON high.id = label.high_id
    ),
    labelled AS MATERIALIZED (
        SELECT one.place, NOT said.low_wins AS differ
        FROM pair_index AS one
        JOIN said ON said.low = one.chosen AND said.high = one.rejected AND said.axis = one.axis
        UNION ALL
        SELECT one.place, said.low_wins AS differ
        FROM pair_index AS one
        JOIN said ON said.high = one.chosen AND said.low = one.rejected AND said.axis = one.axis
    ),
    matching AS MATERIALIZED (
        SELECT place
        FROM pair_index
        WHERE ($sets IS NULL OR list_contains($sets, "set"))
            AND ($axis IS NULL OR axis = $axis)
            AND ($judge IS NULL OR judge = $judge)
            AND ($principle IS NULL OR principle_id = $principle)
            AND ($margin IS NULL OR margin = $margin)
            AND ($gap IS NULL OR gap >= $gap)
            AND (NOT $orders_differ OR orders_differ)
            AND (
                $flag IS NULL
                OR place IN (
                    SELECT one.place FROM pair_index AS one
                    JOIN flagged ON flagged.sample = one.chosen AND flagged."set" = one."set"
                    UNION ALL
                    SELECT one.place FROM pair_index AS one
                    JOIN flagged ON flagged.sample = one.rejected AND flagged."set" = one."set"
                )
            )
            AND (NOT $people_differ OR place IN (SELECT place FROM labelled WHERE differ))
            AND ($labelled IS NULL OR $labelled = place IN (SELECT place FROM labelled))
    ),
    page AS (
        SELECT place
        FROM matching
        WHERE CASE WHEN $backwards THEN place < $start ELSE place > $start END
        ORDER BY CASE WHEN $backwards THEN -place ELSE place END
        LIMIT $most
    )
SELECT counted, ahead, place
FROM (
    SELECT
        count(*) AS counted,
        count(*) FILTER (CASE WHEN $backwards THEN place < $start ELSE place > $start END) AS ahead
    FROM matching
)
LEFT JOIN page ON true
ORDER BY CASE WHEN $backwards THEN -place ELSE place END;
