-- Deploys as added up from their events. The body is the deploy itself; the columns beside it are what lists filter
-- and sort by, so that a page never parses what it does not show. Every index ends in (started_at, id), the order
-- of pages, and carries the other filters, so that a filter is decided without touching the body.
CREATE TABLE deploys (
    id TEXT NOT NULL,
    service TEXT NOT NULL,
    environment TEXT NOT NULL,
    kind TEXT NOT NULL,
    status TEXT NOT NULL,
    version TEXT,
    started_at INTEGER NOT NULL, -- Unix milliseconds, as all times here
    exposed_at INTEGER NOT NULL,
    ended_at INTEGER NOT NULL, -- for overlap: the last moment that the deploy is known to have lasted to
    finished_at INTEGER,
    body TEXT NOT NULL, -- JSON
    CONSTRAINT deploys_key PRIMARY KEY (id)
);
CREATE INDEX deploys_by_start ON deploys (started_at, id, ended_at);
CREATE INDEX deploys_by_service ON deploys (service, started_at, id, environment, kind, ended_at);
CREATE INDEX deploys_by_environment ON deploys (environment, started_at, id, kind, ended_at);
CREATE INDEX deploys_by_kind ON deploys (kind, started_at, id, environment, ended_at);
-- The few that lasted longer than a day: with them apart, an overlap looks back one day only.
CREATE INDEX deploys_that_lasted ON deploys (started_at, id) WHERE ended_at - started_at > 86400000;
-- What ran before a deploy.
CREATE INDEX deploys_that_succeeded ON deploys (service, environment, started_at)
    WHERE status = 'succeeded' AND version IS NOT NULL AND kind IN ('deploy', 'rollback');
