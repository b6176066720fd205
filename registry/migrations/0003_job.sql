-- Transfers that were asked for: those under way, which go on after a restart, and the last ones that are over. Like leases, they
-- cannot be derived from the files again.
CREATE TABLE job (
    id           INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, -- never used again, also when its row is gone
    record       TEXT    NOT NULL                            -- JSON object of the daemon; may hold the address of a model, with its query
) STRICT;
