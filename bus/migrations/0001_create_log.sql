-- One table for each topic: `log_offset` is the record's place, given out once and never again (AUTOINCREMENT
-- remembers the highest in sqlite_sequence, so pruning the last record does not free its offset).
-- Headers are a JSON array of [name, value] pairs: short, ordered, and readable with the sqlite3 shell.
CREATE TABLE deploys (
    log_offset INTEGER PRIMARY KEY AUTOINCREMENT,
    appended_at_ms INTEGER NOT NULL,
    record_key TEXT NOT NULL,
    headers TEXT NOT NULL,
    value BLOB NOT NULL
) STRICT;

CREATE TABLE datapoints (
    log_offset INTEGER PRIMARY KEY AUTOINCREMENT,
    appended_at_ms INTEGER NOT NULL,
    record_key TEXT NOT NULL,
    headers TEXT NOT NULL,
    value BLOB NOT NULL
) STRICT;

CREATE TABLE incidents (
    log_offset INTEGER PRIMARY KEY AUTOINCREMENT,
    appended_at_ms INTEGER NOT NULL,
    record_key TEXT NOT NULL,
    headers TEXT NOT NULL,
    value BLOB NOT NULL
) STRICT;

CREATE TABLE quarantine (
    log_offset INTEGER PRIMARY KEY AUTOINCREMENT,
    appended_at_ms INTEGER NOT NULL,
    record_key TEXT NOT NULL,
    headers TEXT NOT NULL,
    value BLOB NOT NULL
) STRICT;

-- Where each group resumes: the offset of the first record whose effect is not yet durable.
CREATE TABLE group_offsets (
    group_name TEXT NOT NULL,
    topic TEXT NOT NULL,
    next_offset INTEGER NOT NULL,
    CONSTRAINT group_offsets_key PRIMARY KEY (group_name, topic)
) STRICT, WITHOUT ROWID;
