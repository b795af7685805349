-- What was told to whom, so that a restart tells nobody twice; and where consumers stand.
CREATE TABLE deliveries (
    key TEXT NOT NULL, -- incident, revision and channel
    outcome TEXT, -- null from the claim until it is settled
    CONSTRAINT deliveries_key PRIMARY KEY (key)
) WITHOUT ROWID;
CREATE TABLE checkpoints (
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    CONSTRAINT checkpoints_key PRIMARY KEY (key)
) WITHOUT ROWID;
