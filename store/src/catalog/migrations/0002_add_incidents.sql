-- Incidents: every state change as it was decided, which is what alerts and audits refer to, and the latest one
-- again in a table of its own, because that is what every page asks for.
CREATE TABLE incident_revisions (
    id TEXT NOT NULL,
    revision INTEGER NOT NULL,
    changed_at INTEGER NOT NULL,
    body TEXT NOT NULL, -- JSON
    CONSTRAINT incident_revisions_key PRIMARY KEY (id, revision)
) WITHOUT ROWID;
CREATE TABLE incidents (
    id TEXT NOT NULL,
    revision INTEGER NOT NULL,
    state TEXT NOT NULL,
    service TEXT NOT NULL,
    environment TEXT NOT NULL,
    opened_at INTEGER NOT NULL,
    ended_at INTEGER, -- null while it lasts
    body TEXT NOT NULL,
    CONSTRAINT incidents_key PRIMARY KEY (id)
);
CREATE INDEX incidents_by_opening ON incidents (opened_at, id);
CREATE INDEX incidents_by_service ON incidents (service, opened_at, id);
CREATE INDEX incidents_that_last ON incidents (opened_at) WHERE state IN ('suspected', 'confirmed');
