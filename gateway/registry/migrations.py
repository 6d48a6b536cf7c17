"""The schema, as the numbered steps that lead to it. A step that has been released is never edited: append another."""

import sqlite3

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        # The digest says what a variant is; where its files lie and what it is called are attributes.
        """
        CREATE TABLE variants (
            digest TEXT PRIMARY KEY,
            content BLOB NOT NULL,          -- JSON of a Variant
            created_at TEXT NOT NULL
        ) STRICT
        """,
        """
        CREATE TABLE variant_names (
            sequence INTEGER PRIMARY KEY,
            name TEXT NOT NULL,
            digest TEXT NOT NULL REFERENCES variants (digest),
            created_at TEXT NOT NULL,
            UNIQUE (name, digest)
        ) STRICT
        """,
        """
        CREATE TABLE deployments (
            model TEXT PRIMARY KEY,
            incumbent TEXT NOT NULL REFERENCES variants (digest),
            revision INTEGER NOT NULL,
            gate BLOB NOT NULL              -- JSON of a GatePolicy
        ) STRICT
        """,
        """
        CREATE TABLE evaluations (
            sequence INTEGER PRIMARY KEY,
            id TEXT NOT NULL UNIQUE,
            model TEXT NOT NULL,
            created_at TEXT NOT NULL,
            summary BLOB NOT NULL,          -- JSON of an EvaluationSummary
            content BLOB NOT NULL           -- JSON of the Evaluation
        ) STRICT
        """,
        # Not bound to deployments: the log outlives what it tells of.
        """
        CREATE TABLE promotions (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            at TEXT NOT NULL,
            model TEXT NOT NULL,
            kind TEXT NOT NULL,
            outcome TEXT NOT NULL,
            from_variant TEXT REFERENCES variants (digest),
            to_variant TEXT NOT NULL REFERENCES variants (digest),
            evaluation_id TEXT REFERENCES evaluations (id),
            reason TEXT,
            revision INTEGER NOT NULL
        ) STRICT
        """,
        "CREATE INDEX promotions_by_model ON promotions (model, id)",
        """
        CREATE TABLE file_digests (
            path TEXT PRIMARY KEY,
            size_bytes INTEGER NOT NULL,
            mtime_ns INTEGER NOT NULL,
            inode INTEGER NOT NULL,
            digest TEXT NOT NULL
        ) STRICT
        """,
    ),
    (
        # A table of its own: whoever registers the content again takes the line out, and the variant stays what it is.
        """
        CREATE TABLE archived_variants (
            digest TEXT PRIMARY KEY REFERENCES variants (digest),
            at TEXT NOT NULL
        ) STRICT
        """,
    ),
    (
        # A key that is revoked loses its secrets and keeps its name, which is not given to another.
        """
        CREATE TABLE keys (
            name TEXT PRIMARY KEY,
            granted BLOB NOT NULL,          -- JSON of a KeyGrant
            secret_digest BLOB UNIQUE,      -- SHA-256; none once it is revoked
            previous_digest BLOB,           -- of the secret before the last rotation
            previous_until_s REAL NOT NULL,
            created_at TEXT NOT NULL,
            rotated_at TEXT,
            revoked_at TEXT
        ) STRICT
        """,
    ),
)


class NewerSchema(Exception):
    """The database was written by a later version of the gateway."""


def migrate(connection: sqlite3.Connection) -> None:
    """Take each missing step in a transaction of its own, so that a crash leaves a version and never half of one.

    Raises NewerSchema where the database is ahead of this code.
    """
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > len(MIGRATIONS):
        raise NewerSchema(f"version {version}, and this gateway knows {len(MIGRATIONS)}")
    for number, statements in enumerate(MIGRATIONS[version:], start=version + 1):
        connection.execute("BEGIN IMMEDIATE")
        for statement in statements:
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {number}")
        connection.execute("COMMIT")
