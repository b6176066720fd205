-- Answers that a client may read again and continue, and conversations. They hold the text of users and models. The oldest are
-- removed when they are too old, or when all together exceed their budget. Like jobs, they cannot be derived from the files again.
CREATE TABLE response (
    id           TEXT    NOT NULL PRIMARY KEY,
    saved_at     INTEGER NOT NULL,             -- milliseconds since 1970
    bytes        INTEGER NOT NULL,             -- of input and record together
    input        TEXT    NOT NULL,             -- JSON list of the daemon: the items of the request
    record       TEXT    NOT NULL              -- JSON object of the daemon: the answer
) STRICT;
CREATE INDEX response_by_age ON response (saved_at, bytes);

CREATE TABLE conversation (
    id           TEXT    NOT NULL PRIMARY KEY,
    saved_at     INTEGER NOT NULL,             -- milliseconds since 1970, of its last change
    bytes        INTEGER NOT NULL,             -- of record and items together
    record       TEXT    NOT NULL              -- JSON object of the daemon
) STRICT;
CREATE INDEX conversation_by_age ON conversation (saved_at, bytes);

CREATE TABLE conversation_item (
    number       INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, -- the order of the items
    conversation TEXT    NOT NULL REFERENCES conversation (id) ON DELETE CASCADE,
    id           TEXT    NOT NULL,
    record       TEXT    NOT NULL,             -- JSON object of the daemon
    UNIQUE (conversation, id)
) STRICT;
