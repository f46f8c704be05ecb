-- Where the prompts of one set's pairs came from and under which licence, most pairs first.
SELECT prompt.source, prompt.licence, count(DISTINCT prompt.id) AS prompts, count(*) AS pairs
FROM preferences AS one
JOIN prompts AS prompt ON prompt.id = one.prompt_id
WHERE one."set" = $set_id
GROUP BY prompt.source, prompt.licence
ORDER BY pairs DESC, prompt.source, prompt.licence;
