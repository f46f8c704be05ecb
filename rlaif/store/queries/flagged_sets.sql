-- How many pairs of each set there are, and how many whose preferred response has a flag, flag by flag.
-- The empty name counts the pairs, however many flags the preferred response has.
WITH
    pairs AS (
        SELECT "set", chosen_id FROM preferences WHERE list_contains($sets, "set")
    ),
    flagged AS (
        SELECT pairs."set", flags.names
        FROM pairs
        JOIN flags ON flags."set" = pairs."set" AND flags.sample_id = pairs.chosen_id
        WHERE list_contains($sets, flags."set")
    )
SELECT "set", NULL AS name, count(*) AS pairs FROM pairs GROUP BY "set"
UNION ALL
SELECT "set", '' AS name, count(*) AS pairs FROM flagged GROUP BY "set"
UNION ALL
SELECT "set", name, count(*) AS pairs
FROM (SELECT "set", unnest(names) AS name FROM flagged)
GROUP BY "set", name
ORDER BY "set", name NULLS FIRST;
