-- What is known about the files of the store. All of it can be derived from the files again, but for leases.

-- The file of a blob, as it was when it was last looked into. A row with another stamp than the file says nothing.
CREATE TABLE blob (
    digest       TEXT    NOT NULL PRIMARY KEY, -- sha256:<hex>
    device       INTEGER NOT NULL,             -- stamp of the file ...
    inode        INTEGER NOT NULL,
    size         INTEGER NOT NULL,             -- bytes
    modified     INTEGER NOT NULL,             -- nanoseconds since 1970
    changed      INTEGER NOT NULL,             -- nanoseconds since 1970
    verified_at  INTEGER,                      -- seconds since 1970; null when its bytes were not hashed under this stamp
    reader       INTEGER,                      -- version of the GGUF reader that looked into it; null when none did
    facts        TEXT,                         -- JSON, what the reader found; null when it refused the file
    problem      TEXT                          -- why the reader refused the file
) STRICT, WITHOUT ROWID;

-- One line of the list of models, as it was when the manifest had this stamp.
CREATE TABLE model (
    name         TEXT    NOT NULL PRIMARY KEY, -- host/namespace/model:tag
    device       INTEGER NOT NULL,             -- stamp of the manifest file ...
    inode        INTEGER NOT NULL,
    size         INTEGER NOT NULL,
    modified     INTEGER NOT NULL,
    changed      INTEGER NOT NULL,
    digest       TEXT    NOT NULL,             -- sha256:<hex> of the manifest file
    bytes        INTEGER NOT NULL,             -- of all blobs together
    details      TEXT    NOT NULL,             -- JSON object
    capabilities TEXT    NOT NULL,             -- JSON list
    damage       TEXT                          -- what is wrong with it; null for a good model
) STRICT, WITHOUT ROWID;

-- Blobs that no manifest names yet, and that are kept until then.
CREATE TABLE lease (
    digest       TEXT    NOT NULL PRIMARY KEY, -- sha256:<hex>
    expires_at   INTEGER NOT NULL              -- seconds since 1970
) STRICT, WITHOUT ROWID;
