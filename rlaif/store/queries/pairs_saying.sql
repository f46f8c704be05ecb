-- Which of some pairs have certain words in the prompt or a response; `among` is a table of their places. Texts
-- are joined by their places before words are looked for: a condition on them would be put to every text there is.
WITH
    one AS MATERIALIZED (
        SELECT place, prompt, chosen, rejected FROM pair_index WHERE place IN (SELECT place FROM among)
    ),
    lying AS MATERIALIZED (SELECT chosen AS place FROM one UNION SELECT rejected FROM one),
    responses AS MATERIALIZED (
        SELECT lying.place, contains(lower(samples.response), $text) AS said
        FROM lying
        JOIN samples ON samples.rowid = lying.place
    ),
    asked AS MATERIALIZED (
        SELECT one.prompt AS place, contains(lower(prompts.messages), $text) AS said
        FROM (SELECT DISTINCT prompt FROM one) AS one
        JOIN prompts ON prompts.rowid = one.prompt
    )
SELECT one.place
FROM one
JOIN responses AS chosen ON chosen.place = one.chosen
JOIN responses AS rejected ON rejected.place = one.rejected
JOIN asked ON asked.place = one.prompt
WHERE chosen.said OR rejected.said OR asked.said
ORDER BY one.place;
