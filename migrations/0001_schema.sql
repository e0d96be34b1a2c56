-- An epoch's number and identity are unsigned 64-bit numbers, kept as the signed integer of the same
-- bits; nothing is ordered by them. Money is in cents, time in milliseconds since 1970.

-- AUTOINCREMENT, so that the number of a deleted book is never given to another one. The upper bound is
-- the largest integer that JSON carries exactly, and keeps numbers in reserve above every book.
CREATE TABLE books (
    id          INTEGER PRIMARY KEY AUTOINCREMENT CHECK (id BETWEEN 1 AND 9007199254740991),
    title       TEXT    NOT NULL,
    topic       TEXT    NOT NULL,
    stock       INTEGER NOT NULL CHECK (stock >= 0),
    price_cents INTEGER NOT NULL CHECK (price_cents >= 0)
) STRICT;

-- Entries of an index end in the rowid, which is the id: one topic's books lie there in order of id.
CREATE INDEX books_by_topic ON books (topic);

-- No reference to books: an order outlives its book.
CREATE TABLE orders (
    order_id       TEXT    NOT NULL PRIMARY KEY,
    book_id        INTEGER NOT NULL,
    quantity       INTEGER NOT NULL CHECK (quantity > 0),
    total_cents    INTEGER NOT NULL CHECK (total_cents >= 0),
    epoch_number   INTEGER NOT NULL,
    epoch_identity INTEGER NOT NULL,
    seq            INTEGER NOT NULL,
    created_at_ms  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- What each idempotency key was told. `outcome` is the JSON of Result<Receipt, Refusal>.
CREATE TABLE answers (
    key          TEXT    NOT NULL PRIMARY KEY,
    book_id      INTEGER NOT NULL,
    quantity     INTEGER NOT NULL CHECK (quantity > 0),
    offer_cents  INTEGER CHECK (offer_cents >= 0),
    order_id     TEXT    REFERENCES orders (order_id),
    outcome      TEXT    NOT NULL,
    stored_at_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The last row is where this file stands. `record` is the JSON of a Record, NULL for genesis only.
-- `lease_term_ms` marks the starts of masters, and is NULL for a batch.
CREATE TABLE log (
    seq            INTEGER PRIMARY KEY CHECK (seq >= 0),
    epoch_number   INTEGER NOT NULL,
    epoch_identity INTEGER NOT NULL,
    lease_term_ms  INTEGER CHECK (lease_term_ms >= 0),
    record         TEXT    CHECK ((record IS NULL) = (seq = 0))
) STRICT;

CREATE INDEX log_starts ON log (seq) WHERE lease_term_ms IS NOT NULL;

-- Every fresh file stands at the same place, so that a replica can begin with the log alone.
INSERT INTO log (seq, epoch_number, epoch_identity, lease_term_ms) VALUES (0, 0, 0, 0);
