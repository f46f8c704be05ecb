-- How many preferences of a set there are.
SELECT count(*) AS preferences FROM preferences WHERE "set" = $set_id;
