-- How many bytes a model took when it was loaded, beside what was predicted. It corrects the next prediction. A row that is lost
-- only makes that one less exact.
CREATE TABLE memory (
    model        TEXT    NOT NULL,             -- the digests that make two models the same to a runner
    settings     TEXT    NOT NULL,             -- the settings of the load that memory depends on
    predicted    INTEGER NOT NULL,             -- bytes
    measured     INTEGER NOT NULL,             -- bytes
    measured_at  INTEGER NOT NULL,             -- seconds since 1970
    PRIMARY KEY (model, settings)
) STRICT, WITHOUT ROWID;
CREATE INDEX memory_by_age ON memory (measured_at);
