-- A page for any set of filters from an index that decides all of it, however rare what is asked for. Kinds are few
-- and known, so a list of all kinds merges one stretch of each, and four indexes serve the eight sets of filters.
DROP INDEX deploys_by_start;
DROP INDEX deploys_by_service;
DROP INDEX deploys_by_environment;
DROP INDEX deploys_by_kind;
CREATE INDEX deploys_by_kind ON deploys (kind, started_at, id, ended_at);
CREATE INDEX deploys_by_environment ON deploys (environment, kind, started_at, id, ended_at);
CREATE INDEX deploys_by_service ON deploys (service, kind, started_at, id, ended_at);
CREATE INDEX deploys_by_place ON deploys (service, environment, kind, started_at, id, ended_at);
