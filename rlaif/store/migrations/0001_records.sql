-- One table per record kind, columns in the order of the record's fields. Facts are only ever added, and
-- the add itself keeps ids distinct, so there is no key and no index to keep up. VARCHAR columns noted as
-- JSON hold the field as pydantic writes it.

CREATE TABLE documents (
    id VARCHAR,
    role VARCHAR,
    name VARCHAR,
    "text" VARCHAR
);

CREATE TABLE jobs (
    id VARCHAR,
    name VARCHAR,
    pipeline VARCHAR,
    prompts VARCHAR,
    seed BIGINT,
    test_share DOUBLE
);

CREATE TABLE prompts (
    id VARCHAR,
    messages VARCHAR, -- JSON
    split VARCHAR,
    source VARCHAR,
    licence VARCHAR,
    meta VARCHAR -- JSON
);

CREATE TABLE samples (
    id VARCHAR,
    prompt_id VARCHAR,
    model VARCHAR,
    params VARCHAR, -- JSON
    "index" BIGINT,
    response VARCHAR,
    stop_reason VARCHAR,
    output_tokens BIGINT,
    request_key VARCHAR
);

CREATE TABLE judgments (
    id VARCHAR,
    prompt_id VARCHAR,
    axis VARCHAR,
    judge VARCHAR,
    constitution VARCHAR,
    template VARCHAR,
    principle_id VARCHAR,
    first_id VARCHAR,
    second_id VARCHAR,
    label_type VARCHAR,
    status VARCHAR,
    verdict VARCHAR,
    p_first DOUBLE,
    mass DOUBLE,
    reason VARCHAR,
    request_key VARCHAR
);

CREATE TABLE scores (
    id VARCHAR,
    prompt_id VARCHAR,
    sample_id VARCHAR,
    axis VARCHAR,
    judge VARCHAR,
    constitution VARCHAR,
    template VARCHAR,
    label_type VARCHAR,
    status VARCHAR,
    low BIGINT,
    high BIGINT,
    expected DOUBLE,
    distribution DOUBLE[],
    mass DOUBLE,
    reason VARCHAR,
    request_key VARCHAR
);

CREATE TABLE rankings (
    id VARCHAR,
    "set" VARCHAR,
    prompt_id VARCHAR,
    axis VARCHAR,
    "method" VARCHAR,
    sample_ids VARCHAR[],
    strengths DOUBLE[],
    errors DOUBLE[]
);

CREATE TABLE preferences (
    id VARCHAR,
    "set" VARCHAR,
    prompt_id VARCHAR,
    axis VARCHAR,
    split VARCHAR,
    chosen_id VARCHAR,
    rejected_id VARCHAR,
    p DOUBLE,
    margin VARCHAR,
    p_chosen_first DOUBLE,
    p_chosen_second DOUBLE,
    mass DOUBLE,
    judge VARCHAR,
    constitution VARCHAR,
    principle_id VARCHAR,
    judgment_ids VARCHAR[]
);

CREATE TABLE completions (
    id VARCHAR,
    "set" VARCHAR,
    prompt_id VARCHAR,
    axis VARCHAR,
    split VARCHAR,
    sample_id VARCHAR,
    label BOOLEAN
);

CREATE TABLE sets (
    id VARCHAR,
    name VARCHAR,
    job_id VARCHAR,
    inputs VARCHAR,
    axis VARCHAR,
    judge VARCHAR,
    constitution VARCHAR,
    template VARCHAR,
    both_orders BOOLEAN,
    audited BOOLEAN,
    counts VARCHAR, -- JSON
    pairs BIGINT
);

CREATE TABLE tasks (
    id VARCHAR,
    job_id VARCHAR,
    task_id VARCHAR,
    stage VARCHAR,
    state VARCHAR,
    reason VARCHAR,
    outputs VARCHAR[]
);

CREATE TABLE job_events (
    id VARCHAR,
    job_id VARCHAR,
    state VARCHAR,
    "at" VARCHAR,
    note VARCHAR
);

-- How far the journal has been projected, one row per transaction; the furthest counts. `tallies` is JSON:
-- table -> [rows, XOR of the rows' hashes]. The hash is DuckDB's own, so its version is kept beside it.
CREATE TABLE applied (
    segment BIGINT,
    "offset" BIGINT,
    crc BIGINT,
    tallies VARCHAR,
    library VARCHAR
);
