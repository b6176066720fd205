-- The manifest of a name as it was last published, or first found whole. It tells a file that rots from one that another program
-- wrote, and mends it. Like leases, it cannot be derived from the files again.
CREATE TABLE manifest (
    name         TEXT    NOT NULL PRIMARY KEY, -- host/namespace/model:tag
    digest       TEXT    NOT NULL,             -- sha256:<hex> of the text
    text         BLOB    NOT NULL              -- bytes of the file, 4 MiB at most
) STRICT;
