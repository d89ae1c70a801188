-- Newest schema of the outbox; its version is in database.py. Times in *_ms are milliseconds since
-- the epoch, UTC. A change of this file needs a migration in database.py.

-- A start of the monitor.
CREATE TABLE epoch (
    epoch INTEGER PRIMARY KEY,
    node TEXT NOT NULL,
    steps_ms INTEGER NOT NULL
) STRICT;

-- Payloads that those of messages are compressed with.
CREATE TABLE template (
    id INTEGER PRIMARY KEY,
    epoch INTEGER NOT NULL,
    machine TEXT NOT NULL,
    payload BLOB NOT NULL
) STRICT;

-- id is in the order of creation, and gives the sequence number, see rows.py. lane: 0 score, 1 score
-- of a warning or an alarm, 2 event or evidence. steps_ms: by how much the clock had been set since
-- the start when the message was made. acked_ms: when the broker acknowledged it.
CREATE TABLE message (
    id INTEGER PRIMARY KEY,
    epoch INTEGER NOT NULL,
    lane INTEGER NOT NULL,
    topic TEXT NOT NULL,
    machine TEXT NOT NULL,
    stored_ms INTEGER NOT NULL,
    steps_ms INTEGER NOT NULL,
    template INTEGER,
    payload BLOB NOT NULL,
    acked_ms INTEGER
) STRICT;
CREATE INDEX waiting ON message (lane, id) WHERE acked_ms IS NULL;
CREATE INDEX sent ON message (id) WHERE acked_ms IS NOT NULL;

-- Messages to be sent again: those made since a time, of one machine or of all (''), that were
-- acknowledged since another time. The monitor works through them, from next_id to last_id.
CREATE TABLE resend (
    id INTEGER PRIMARY KEY,
    since_ms INTEGER NOT NULL,
    machine TEXT NOT NULL,
    next_id INTEGER NOT NULL,
    last_id INTEGER NOT NULL,
    acked_since_ms INTEGER NOT NULL DEFAULT 0
) STRICT;
