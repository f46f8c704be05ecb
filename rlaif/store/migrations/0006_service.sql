-- What the service is told: jobs handed in, keys given out, and what people say about pairs.

CREATE TABLE submissions (
    id VARCHAR,
    job_id VARCHAR,
    folder VARCHAR,
    budget DOUBLE,
    caller VARCHAR,
    request VARCHAR,
    idempotency VARCHAR
);

CREATE TABLE access_keys (
    id VARCHAR,
    name VARCHAR,
    prefix VARCHAR,
    hash VARCHAR,
    scope VARCHAR,
    created_at VARCHAR,
    expires_at VARCHAR
);

CREATE TABLE key_events (
    id VARCHAR,
    key_id VARCHAR,
    what VARCHAR,
    "at" VARCHAR
);

CREATE TABLE human_labels (
    id VARCHAR,
    person VARCHAR,
    prompt_id VARCHAR,
    axis VARCHAR,
    first_id VARCHAR,
    second_id VARCHAR,
    verdict VARCHAR,
    source VARCHAR,
    blind BOOLEAN,
    "at" VARCHAR,
    note VARCHAR
);
