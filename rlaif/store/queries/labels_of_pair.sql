-- What people say now of one pair on one axis, oldest first.
SELECT * EXCLUDE (low_id, high_id, winner_id, loser_id)
FROM standing_labels
WHERE axis = $axis AND low_id = least($one, $other) AND high_id = greatest($one, $other)
ORDER BY place;
