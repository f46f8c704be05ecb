-- Where a preference stands in the order they were made.
SELECT rowid AS place FROM preferences WHERE id = $id;
