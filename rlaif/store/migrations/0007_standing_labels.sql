-- What each person says of each pair now: the latest label stands, unless it takes back.
CREATE VIEW standing_labels AS
SELECT
    id, place, person, prompt_id, axis, first_id, second_id, verdict, source, blind, "at", note,
    least(first_id, second_id) AS low_id,
    greatest(first_id, second_id) AS high_id,
    CASE verdict WHEN 'first' THEN first_id WHEN 'second' THEN second_id END AS winner_id,
    CASE verdict WHEN 'first' THEN second_id WHEN 'second' THEN first_id END AS loser_id
FROM (
    SELECT *, rowid AS place
    FROM human_labels
    QUALIFY row_number() OVER (
        PARTITION BY person, axis, least(first_id, second_id), greatest(first_id, second_id)
        ORDER BY "at" DESC, rowid DESC
    ) = 1
)
WHERE verdict IS NOT NULL;
