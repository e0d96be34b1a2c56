-- For a catalog of a million books: counts that are kept instead of counted, words that can be searched,
-- and imports that are known again. What is here was made from `books`, and is kept in step with it in the
-- same transaction.

-- How many books each topic has, in step by trigger; a topic without books has no row.
CREATE TABLE topics (
    topic TEXT    NOT NULL PRIMARY KEY,
    books INTEGER NOT NULL CHECK (books > 0)
) STRICT, WITHOUT ROWID;

INSERT INTO topics (topic, books) SELECT topic, count(*) FROM books GROUP BY topic;

CREATE TRIGGER topics_of_new_books AFTER INSERT ON books BEGIN
    INSERT INTO topics (topic, books) VALUES (new.topic, 1) ON CONFLICT (topic) DO UPDATE SET books = books + 1;
END;

CREATE TRIGGER topics_of_deleted_books AFTER DELETE ON books BEGIN
    DELETE FROM topics WHERE topic = old.topic AND books = 1;
    UPDATE topics SET books = books - 1 WHERE topic = old.topic AND changes() = 0;
END;

CREATE TRIGGER topics_of_moved_books AFTER UPDATE OF topic ON books WHEN old.topic <> new.topic BEGIN
    INSERT INTO topics (topic, books) VALUES (new.topic, 1) ON CONFLICT (topic) DO UPDATE SET books = books + 1;
    DELETE FROM topics WHERE topic = old.topic AND books = 1;
    UPDATE topics SET books = books - 1 WHERE topic = old.topic AND changes() = 0;
END;

-- The words of the titles. A row's number is the title's length in characters, in the bits from 53 up, and the
-- book's number below: an FTS5 index hands rows out in order of their numbers and can begin behind any of
-- them, so a page of "shortest title first" is a seek. No content and no sizes: titles are in `books`, and
-- nothing is scored. Kept in step by src/store/apply.rs and not by trigger, because rows that come in another
-- order than that of their numbers would each be written out alone.
CREATE VIRTUAL TABLE titles USING fts5 (
    title, content = '', columnsize = 0, tokenize = 'unicode61 remove_diacritics 2'
);

-- Each part of an import leaves a segment. Merged by sixteens and not by fours, each word is written half as often,
-- and no single part has to merge very many (which it would from 64 on).
INSERT INTO titles (titles, rank) VALUES ('automerge', 16);
INSERT INTO titles (titles, rank) VALUES ('crisismerge', 64);

INSERT INTO titles (rowid, title) SELECT length(title) << 53 | id, title FROM books ORDER BY 1;

-- Which parts of which imports are done, and what the importer was told. `key` is a SHA-256 sum of all that was
-- read of the input up to the end of that part.
CREATE TABLE imports (
    key          TEXT    NOT NULL PRIMARY KEY,
    created      INTEGER NOT NULL CHECK (created >= 0),
    changed      INTEGER NOT NULL CHECK (changed >= 0),
    unchanged    INTEGER NOT NULL CHECK (unchanged >= 0),
    stored_at_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX imports_by_age ON imports (stored_at_ms);
