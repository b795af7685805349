-- Annotations: what was noted on the graphs that is no deploy, and what somebody made of a deploy's own mark (its id is
-- the deploy's then). One that was deleted stays as a row, so that a late record does not bring it back.
CREATE TABLE annotations (
    id TEXT NOT NULL,
    number INTEGER NOT NULL, -- what stands for the id in APIs that have numbers
    started_at INTEGER NOT NULL, -- Unix milliseconds
    ended_at INTEGER NOT NULL, -- started_at for a moment
    of_deploy INTEGER NOT NULL, -- 0 or 1
    is_deleted INTEGER NOT NULL, -- 0 or 1
    changed_at INTEGER NOT NULL,
    body TEXT NOT NULL, -- JSON
    CONSTRAINT annotations_key PRIMARY KEY (id)
);
CREATE INDEX annotations_by_start ON annotations (started_at, id);
CREATE INDEX annotations_by_number ON annotations (number);
CREATE INDEX annotations_of_deploys ON annotations (id) WHERE of_deploy = 1;
