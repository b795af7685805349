-- Silences: for how long nobody is told of which incidents. People make them and nothing on the bus says them again, so
-- they are kept here alone. Few hold at any time: the index finds those by their end.
CREATE TABLE silences (
    id TEXT NOT NULL,
    from_at INTEGER NOT NULL, -- Unix milliseconds
    until_at INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    body TEXT NOT NULL, -- JSON
    CONSTRAINT silences_key PRIMARY KEY (id)
);
CREATE INDEX silences_by_end ON silences (until_at);
CREATE INDEX silences_by_creation ON silences (created_at, id);
