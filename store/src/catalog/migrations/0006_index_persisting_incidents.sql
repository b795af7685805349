-- An incident that persists lasts too: the index of those that last knew two states only.
DROP INDEX incidents_that_last;
CREATE INDEX incidents_that_last ON incidents (opened_at) WHERE state IN ('suspected', 'confirmed', 'persisting');
