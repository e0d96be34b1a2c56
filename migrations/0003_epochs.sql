-- The starts of masters get a table of their own, so that the log can be trimmed. One row for each start
-- record, and one for genesis. `node` is NULL for a start from before nodes had identities.
CREATE TABLE epochs (
    start_seq     INTEGER PRIMARY KEY CHECK (start_seq >= 0),
    number        INTEGER NOT NULL UNIQUE,
    identity      INTEGER NOT NULL,
    lease_term_ms INTEGER NOT NULL CHECK (lease_term_ms >= 0),
    node          INTEGER
) STRICT;

INSERT INTO epochs (start_seq, number, identity, lease_term_ms)
SELECT seq, epoch_number, epoch_identity, lease_term_ms FROM log WHERE lease_term_ms IS NOT NULL;

DROP INDEX log_starts;
ALTER TABLE log DROP COLUMN lease_term_ms;

-- The epoch that deposed the master of this history, as soon as it is known: one row or none. No part of
-- the history; it counts until the log has that epoch or a later one.
CREATE TABLE deposed (
    only     INTEGER PRIMARY KEY CHECK (only = 1),
    number   INTEGER NOT NULL,
    identity INTEGER NOT NULL
) STRICT;

-- Which answers are old enough to be forgotten. Each answer stands in one of the two.
CREATE INDEX receipts_by_age ON answers (stored_at_ms) WHERE order_id IS NOT NULL;
CREATE INDEX refusals_by_age ON answers (stored_at_ms) WHERE order_id IS NULL;
