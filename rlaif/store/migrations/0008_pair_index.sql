-- What preferences are looked for by, and where their texts lie: narrow columns, in the order the pairs were
-- made, so that a million pairs are looked through in moments. Filled by `index_pairs` after each transaction
-- that brings pairs or their texts, and when a store is opened; a pair enters once prompt and samples are here.
CREATE TABLE pair_index (
    place BIGINT, -- rowid of the preference
    "set" VARCHAR,
    axis VARCHAR,
    judge VARCHAR,
    principle_id VARCHAR,
    margin VARCHAR,
    orders_differ BOOLEAN, -- one order on its own did not prefer chosen
    prompt BIGINT, -- rowids of the texts
    chosen BIGINT,
    rejected BIGINT,
    gap BIGINT -- difference of the responses' lengths, characters
);
