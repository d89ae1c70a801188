-- Newest schema of the history; its version is in migrations.py. Times in *_ms are milliseconds since the epoch, UTC.
-- A change of this file needs a migration in migrations.py.

CREATE TABLE machine (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    display TEXT NOT NULL DEFAULT '',
    place TEXT NOT NULL DEFAULT '',
    kind TEXT NOT NULL DEFAULT '',
    created_ms INTEGER NOT NULL
) STRICT;

CREATE TABLE model (
    id INTEGER PRIMARY KEY,
    machine_id INTEGER NOT NULL REFERENCES machine (id),
    sha256 TEXT NOT NULL,
    name TEXT NOT NULL,
    revision TEXT NOT NULL,
    from_ms INTEGER NOT NULL,
    calibration_windows INTEGER NOT NULL,
    provisional INTEGER NOT NULL,
    learned_s REAL,
    reason TEXT NOT NULL DEFAULT '',
    UNIQUE (machine_id, sha256, calibration_windows)
) STRICT;

-- What scores were compared with; a score refers to a row here instead of repeating it.
CREATE TABLE limits (
    id INTEGER PRIMARY KEY,
    machine_id INTEGER NOT NULL REFERENCES machine (id),
    model_id INTEGER REFERENCES model (id),
    threshold REAL,
    normal_range REAL
) STRICT;

-- state and quality are codes of the enumerations State and Quality, see codes.py
CREATE TABLE score (
    machine_id INTEGER NOT NULL,
    at_ms INTEGER NOT NULL,
    value REAL,
    level_dbfs REAL,
    shift_ms INTEGER NOT NULL,
    state INTEGER NOT NULL,
    quality INTEGER NOT NULL,
    lost_samples INTEGER NOT NULL,
    limits_id INTEGER,
    PRIMARY KEY (machine_id, at_ms)
) STRICT, WITHOUT ROWID;

-- Derived from score, and complete to the last full minute of each machine.
CREATE TABLE score_minute (
    machine_id INTEGER NOT NULL,
    start_ms INTEGER NOT NULL,
    windows INTEGER NOT NULL,
    scored INTEGER NOT NULL,
    lowest REAL,
    median REAL,
    highest REAL,
    over INTEGER NOT NULL,
    level_dbfs REAL,
    worst_state INTEGER NOT NULL,
    lost_samples INTEGER NOT NULL,
    limits_id INTEGER,
    PRIMARY KEY (machine_id, start_ms)
) STRICT, WITHOUT ROWID;

-- Derived from score_minute, so that a year can be drawn at once.
CREATE TABLE score_hour (
    machine_id INTEGER NOT NULL,
    start_ms INTEGER NOT NULL,
    windows INTEGER NOT NULL,
    scored INTEGER NOT NULL,
    lowest REAL,
    median REAL,
    highest REAL,
    over INTEGER NOT NULL,
    level_dbfs REAL,
    worst_state INTEGER NOT NULL,
    lost_samples INTEGER NOT NULL,
    limits_id INTEGER,
    PRIMARY KEY (machine_id, start_ms)
) STRICT, WITHOUT ROWID;

CREATE TABLE state_span (
    id INTEGER PRIMARY KEY,
    machine_id INTEGER NOT NULL REFERENCES machine (id),
    from_ms INTEGER NOT NULL,
    to_ms INTEGER,
    state TEXT NOT NULL,
    reason TEXT NOT NULL
) STRICT;
CREATE INDEX state_span_of_machine ON state_span (machine_id, from_ms);
CREATE INDEX open_state_span ON state_span (machine_id) WHERE to_ms IS NULL;

-- Names of modes are those of the time: a mode that gets another name keeps its earlier one here.
CREATE TABLE mode_span (
    id INTEGER PRIMARY KEY,
    machine_id INTEGER NOT NULL REFERENCES machine (id),
    from_ms INTEGER NOT NULL,
    to_ms INTEGER,
    mode TEXT NOT NULL
) STRICT;
CREATE INDEX mode_span_of_machine ON mode_span (machine_id, from_ms);
CREATE INDEX open_mode_span ON mode_span (machine_id) WHERE to_ms IS NULL;

CREATE TABLE event (
    id TEXT PRIMARY KEY,
    machine_id INTEGER NOT NULL REFERENCES machine (id),
    opened_ms INTEGER NOT NULL,
    closed_ms INTEGER,
    peak_state TEXT NOT NULL,
    peak_score REAL,
    threshold REAL,
    rule TEXT NOT NULL DEFAULT '',
    reason TEXT NOT NULL DEFAULT '',
    headline TEXT NOT NULL DEFAULT '',
    bands TEXT NOT NULL DEFAULT '[]',
    clip TEXT NOT NULL DEFAULT '',
    picture TEXT NOT NULL DEFAULT '',
    nearest_normal TEXT NOT NULL DEFAULT '',
    clip_s REAL NOT NULL DEFAULT 0,
    shift_s REAL NOT NULL DEFAULT 0,
    model_sha256 TEXT NOT NULL DEFAULT '',
    provisional INTEGER NOT NULL DEFAULT 0,
    protected INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX event_opened ON event (opened_ms);
CREATE INDEX event_of_machine ON event (machine_id, opened_ms);
CREATE INDEX open_event ON event (machine_id) WHERE closed_ms IS NULL;

CREATE TABLE event_note (
    id INTEGER PRIMARY KEY,
    event_id TEXT NOT NULL REFERENCES event (id),
    at_ms INTEGER NOT NULL,
    who TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN (
        'ack', 'normal', 'fault', 'unsure', 'comment', 'shelve', 'unshelve', 'maintenance'
    )),
    text TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX note_of_event ON event_note (event_id, id);

CREATE TABLE shelf (
    id INTEGER PRIMARY KEY,
    machine_id INTEGER NOT NULL REFERENCES machine (id),
    from_ms INTEGER NOT NULL,
    until_ms INTEGER NOT NULL,
    who TEXT NOT NULL,
    why TEXT NOT NULL DEFAULT '',
    kind TEXT NOT NULL CHECK (kind IN ('shelve', 'maintenance'))
) STRICT;
CREATE INDEX shelf_of_machine ON shelf (machine_id, until_ms);

-- What people did, and commands that were refused. Rows are only ever added. Machine and event are
-- names, because a refused command may name one that does not exist.
CREATE TABLE audit (
    id INTEGER PRIMARY KEY,
    at_ms INTEGER NOT NULL,
    who TEXT NOT NULL,
    via TEXT NOT NULL,
    action TEXT NOT NULL,
    machine TEXT NOT NULL,
    event_id TEXT NOT NULL,
    accepted INTEGER NOT NULL,
    text TEXT NOT NULL
) STRICT;
