-- Places of the preferences under a filter, in the order they were made, from a place on; and how many there
-- are. Only narrow columns are read here, so that a million pairs are looked through in moments; `pairs_at`
-- reads the rest. Subqueries of filters that are off are empty.
WITH
    matching AS MATERIALIZED (
        SELECT rowid AS place
        FROM preferences
        WHERE ($sets IS NULL OR list_contains($sets, "set"))
            AND ($axis IS NULL OR axis = $axis)
            AND ($judge IS NULL OR judge = $judge)
            AND ($principle IS NULL OR principle_id = $principle)
            AND ($margin IS NULL OR margin = $margin)
            AND (NOT $orders_differ OR p_chosen_first <= 0.5 OR p_chosen_second <= 0.5)
            AND (
                $flag IS NULL
                OR rowid IN (
                    SELECT one.rowid
                    FROM preferences AS one
                    JOIN flags ON flags."set" = one."set" AND flags.sample_id = one.chosen_id
                    WHERE $flag IS NOT NULL AND ($flag = 'any' OR list_contains(flags.names, $flag))
                    UNION ALL
                    SELECT one.rowid
                    FROM preferences AS one
                    JOIN flags ON flags."set" = one."set" AND flags.sample_id = one.rejected_id
                    WHERE $flag IS NOT NULL AND ($flag = 'any' OR list_contains(flags.names, $flag))
                )
            )
            AND (
                NOT $people_differ
                OR rowid IN (
                    SELECT one.rowid
                    FROM preferences AS one
                    JOIN standing_labels AS said
                        ON said.axis = one.axis AND said.winner_id = one.rejected_id AND said.loser_id = one.chosen_id
                    WHERE $people_differ
                )
            )
            AND (
                $labelled IS NULL
                OR $labelled = rowid IN (
                    SELECT one.rowid
                    FROM preferences AS one
                    JOIN standing_labels AS said
                        ON said.axis = one.axis
                        AND said.low_id = least(one.chosen_id, one.rejected_id)
                        AND said.high_id = greatest(one.chosen_id, one.rejected_id)
                    WHERE $labelled IS NOT NULL
                )
            )
    ),
    page AS (
        SELECT place
        FROM matching
        WHERE CASE WHEN $backwards THEN place < $start ELSE place > $start END
        ORDER BY CASE WHEN $backwards THEN -place ELSE place END
        LIMIT $most
    )
SELECT counted, place
FROM (SELECT count(*) AS counted FROM matching)
LEFT JOIN page ON true
ORDER BY CASE WHEN $backwards THEN -place ELSE place END;
