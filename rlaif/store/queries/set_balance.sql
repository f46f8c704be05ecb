-- Pairs of one set by side of the split and strength, and how many an order on its own contradicts.
SELECT
    split,
    margin,
    count(*) AS pairs,
    count_if(p_chosen_first <= 0.5 OR p_chosen_second <= 0.5) AS orders_differ
FROM preferences
WHERE "set" = $set_id
GROUP BY split, margin
ORDER BY split, margin;
