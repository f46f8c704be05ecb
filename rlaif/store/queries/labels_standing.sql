-- What people say now, oldest first; of a set, what they say of its preferences.
SELECT said.* EXCLUDE (low_id, high_id, winner_id, loser_id)
FROM standing_labels AS said
WHERE said.place > $start
    AND ($person IS NULL OR said.person = $person)
    AND (
        $sets IS NULL
        OR said.axis || said.low_id || said.high_id IN (
            SELECT axis || least(chosen_id, rejected_id) || greatest(chosen_id, rejected_id)
            FROM preferences
            WHERE list_contains($sets, "set")
        )
    )
ORDER BY said.place
LIMIT $limit;
