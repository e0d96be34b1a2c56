-- What a keeper's edit was told, under its key: the same edit again gets the same answer. `asked` is the JSON of a
-- GuardedEdit, `outcome` that of Result<Edited, EditRefusal>. Keys of its own: no customer can stand in a keeper's way.
CREATE TABLE edit_answers (
    key          TEXT    NOT NULL PRIMARY KEY,
    asked        TEXT    NOT NULL,
    outcome      TEXT    NOT NULL,
    stored_at_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX edit_answers_by_age ON edit_answers (stored_at_ms);
