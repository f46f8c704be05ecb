-- Licences of the prompts behind each set's pairs; NULL for prompts that state none.
SELECT DISTINCT one."set", prompt.licence
FROM (SELECT DISTINCT "set", prompt_id FROM preferences WHERE list_contains($sets, "set")) AS one
JOIN prompts AS prompt ON prompt.id = one.prompt_id
ORDER BY one."set", prompt.licence;
