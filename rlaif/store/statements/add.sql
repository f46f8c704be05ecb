-- Keeps only rows whose id is not there yet, and returns a hash of each row it added. The join would shuffle
-- the batch; rows must lie in the order they were committed, because the newest state is read off rowid.
INSERT INTO "{table}" BY NAME
SELECT batch.* EXCLUDE (ordinal) FROM batch ANTI JOIN "{table}" USING (id) ORDER BY ordinal
RETURNING hash(*COLUMNS(*)) AS row_hash;
