"""What survives a crash: one SQLite file, mode 0600. It holds books and openings: it is secret.

Each step is one transaction that is on disk when the call returns (write-ahead log, full synchronisation):

* fills: the book and the opening after them, the update that they made and the name of their file, together;
* a proof: its bytes before it is sent, so that after a crash the same bytes are sent again, and no other;
* what became of it: accepted with its receipt, refused with the reason, or too late.

So a fill is applied once, an opening is never lost, and nothing is sent that is not written down.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from zkmargin.formats import InputError

VERSION = 1
_SCHEMA = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE generations (
    holding TEXT NOT NULL, number INTEGER NOT NULL, book TEXT NOT NULL, opening TEXT NOT NULL,
    fills_name TEXT, fills_digest TEXT, update_document TEXT, delivered INTEGER NOT NULL, time INTEGER NOT NULL,
    PRIMARY KEY (holding, number), UNIQUE (holding, fills_name)) STRICT;
CREATE TABLE proofs (
    id INTEGER PRIMARY KEY, venue TEXT NOT NULL, statement TEXT NOT NULL, snapshot TEXT NOT NULL,
    snapshot_time INTEGER NOT NULL, challenge TEXT, generations TEXT NOT NULL, submission TEXT NOT NULL,
    proof BLOB NOT NULL, state TEXT NOT NULL, reason TEXT, receipt TEXT, attempts INTEGER NOT NULL,
    arrived INTEGER NOT NULL, proved INTEGER NOT NULL, done INTEGER, UNIQUE (venue, statement)) STRICT;
CREATE INDEX proofs_by_state ON proofs (state);
CREATE INDEX proofs_by_snapshot ON proofs (snapshot, venue);
CREATE TABLE documents (kind TEXT NOT NULL, digest TEXT NOT NULL, text TEXT NOT NULL, time INTEGER NOT NULL,
    PRIMARY KEY (kind, digest)) STRICT;
CREATE TABLE files (folder TEXT NOT NULL, name TEXT NOT NULL, mark TEXT NOT NULL, time INTEGER NOT NULL,
    PRIMARY KEY (folder, name)) STRICT;
CREATE TABLE unhealthy (venue TEXT NOT NULL, snapshot TEXT NOT NULL, time INTEGER NOT NULL,
    PRIMARY KEY (venue, snapshot)) STRICT;
CREATE TABLE headroom (time INTEGER PRIMARY KEY, snapshot TEXT NOT NULL, equity TEXT NOT NULL,
    initial TEXT NOT NULL, maintenance TEXT NOT NULL) STRICT;
"""

#: Made where they are missing: a journal of before them gets them too.
_INDICES = ("CREATE INDEX IF NOT EXISTS generations_undelivered ON generations (delivered) WHERE delivered = 0",)

#: ``made``: not yet taken by its venue; ``delivered``: written for a venue that answers with a receipt later.
State = Literal["made", "delivered", "accepted", "refused", "late"]
OPEN: tuple[State, ...] = ("made", "delivered")


@dataclass(frozen=True, repr=False)
class Generation:
    """A holding's book and opening after so many fills. Secret.

    Attributes:
        number: 0 for what the configuration's files said.
        book, opening: documents.
        fills_name, fills_digest: the file of fills that made it; None for generation 0.
        update: the update for who attests; None for generation 0.
        delivered: whether the update was handed over.
    """

    holding: str
    number: int
    book: str
    opening: str
    fills_name: str | None
    fills_digest: str | None
    update: str | None
    delivered: bool


@dataclass(frozen=True, repr=False)
class Made:
    """A proof, and what became of it. Times are milliseconds since 1970.

    Attributes:
        submission: everything public that goes with it, JSON.
        attempts: how often it was sent.
        arrived: when what it answers came.
    """

    id: int
    venue: str
    statement: str
    snapshot: str
    snapshot_time: int
    challenge: str | None
    generations: str
    submission: str
    proof: bytes
    state: State
    reason: str | None
    receipt: str | None
    attempts: int
    arrived: int
    proved: int
    done: int | None


class Journal:
    """An agent's memory on disk. Threads may share it; processes may not.

    Args:
        folder: made with mode 0700 where it is missing.
        read_only: change nothing, and take no lock.

    Raises:
        InputError: another agent works with it, it is of another version, or it cannot be opened.
    """

    def __init__(self, folder: str | Path, *, read_only: bool = False) -> None:
        self.folder = Path(folder)
        self._lock = threading.RLock()
        path = self.folder / "journal.db"
        try:
            if not read_only:
                self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                self._held = self._take()
                if not path.exists():
                    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
            mode = "ro" if read_only else "rw"
            self._db = sqlite3.connect(
                f"{path.absolute().as_uri()}?mode={mode}", uri=True, isolation_level=None, check_same_thread=False
            )
            self._db.row_factory = sqlite3.Row
            if not read_only:
                self._begin()
        except OSError as error:
            raise InputError(f"cannot be used: {(error.strerror or 'error').lower()}", file=str(folder)) from None
        except sqlite3.Error as error:
            raise InputError(f"is no journal: {error}", file=str(path)) from None

    def _take(self) -> int:
        held = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(held)
            raise InputError(
                "another agent works with this folder", file=str(self.folder), hint="stop it, or name another folder"
            ) from None
        return held

    def _begin(self) -> None:
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        with self._writing() as db:
            if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'meta'").fetchone():
                for statement in filter(str.strip, _SCHEMA.split(";")):
                    db.execute(statement)
                db.execute("INSERT INTO meta VALUES ('version', ?)", (str(VERSION),))
        found = self.get("version")
        if found != str(VERSION):
            raise InputError(
                f"a journal of version {found}: this program keeps version {VERSION}", file=str(self.folder)
            )
        for statement in _INDICES:
            self._db.execute(statement)

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def _all(self, query: str, values: Sequence[object] = ()) -> list[sqlite3.Row]:
        with self._lock:
            return self._db.execute(query, values).fetchall()

    def close(self) -> None:
        """Release file and lock."""
        with self._lock:
            self._db.close()
            if hasattr(self, "_held"):
                os.close(self._held)
                del self._held

    # --- words ------------------------------------------------------------------------------------------------------

    def get(self, name: str) -> str | None:
        """A value by its name."""
        rows = self._all("SELECT value FROM meta WHERE name = ?", (name,))
        return None if not rows else str(rows[0]["value"])

    def put(self, name: str, value: str) -> None:
        """Keep a value."""
        with self._writing() as db:
            db.execute(
                "INSERT INTO meta VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value", (name, value)
            )

    # --- holdings ---------------------------------------------------------------------------------------------------

    def generations(self, holding: str) -> list[Generation]:
        """Those of a holding, the oldest first."""
        rows = self._all("SELECT * FROM generations WHERE holding = ? ORDER BY number", (holding,))
        return [_generation(row) for row in rows]

    def undelivered(self) -> list[Generation]:
        """Those whose update was not handed over, the oldest of each holding first."""
        query = "SELECT * FROM generations WHERE delivered = 0 ORDER BY holding, number"
        return [_generation(row) for row in self._all(query)]

    def fills_digest(self, holding: str, name: str) -> str | None:
        """Of the fills that were applied under a name; None where none were."""
        query = "SELECT fills_digest FROM generations WHERE holding = ? AND fills_name = ?"
        rows = self._all(query, (holding, name))
        return None if not rows else str(rows[0]["fills_digest"])

    def add_generation(self, generation: Generation, *, now_ms: int) -> None:
        """Write a holding's next generation. Raises InputError: it, or its file of fills, is there already."""
        g = generation
        values = (
            g.holding,
            g.number,
            g.book,
            g.opening,
            g.fills_name,
            g.fills_digest,
            g.update,
            int(g.delivered),
            now_ms,
        )
        try:
            with self._writing() as db:
                db.execute("INSERT INTO generations VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", values)
        except sqlite3.IntegrityError:
            raise InputError("is in the journal already", field=f"{g.holding}: {g.fills_name}") from None

    def delivered(self, holding: str, number: int) -> None:
        """The update of a generation was handed over."""
        with self._writing() as db:
            db.execute("UPDATE generations SET delivered = 1 WHERE holding = ? AND number = ?", (holding, number))

    def forget_before(self, holding: str, number: int) -> None:
        """Drop the generations that no proof will be about any more, but for the names of their fills."""
        with self._writing() as db:
            db.execute(
                "UPDATE generations SET book = '', opening = '', update_document = NULL "
                "WHERE holding = ? AND number < ? AND delivered = 1 AND book != ''",
                (holding, number),
            )

    # --- proofs -----------------------------------------------------------------------------------------------------

    def proof_made(
        self,
        *,
        venue: str,
        statement: str,
        snapshot: str,
        snapshot_time: int,
        challenge: str | None,
        generations: str,
        submission: str,
        proof: bytes,
        arrived: int,
        now_ms: int,
    ) -> Made:
        """Write a proof down, before it is sent; of a statement that is there, the proof that is there."""
        with self._writing() as db:
            db.execute(
                "INSERT INTO proofs (venue, statement, snapshot, snapshot_time, challenge, generations, submission, "
                "proof, state, attempts, arrived, proved) VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'made', 0, ?, ?) "
                "ON CONFLICT (venue, statement) DO NOTHING",
                (venue, statement, snapshot, snapshot_time, challenge, generations, submission, proof, arrived, now_ms),
            )
            row = db.execute("SELECT * FROM proofs WHERE venue = ? AND statement = ?", (venue, statement)).fetchone()
        return _made(row)

    def settle(
        self, identity: int, state: State, *, now_ms: int, reason: str | None = None, receipt: str | None = None
    ) -> None:
        """What became of a proof; what is accepted or refused stays so."""
        done = None if state in OPEN else now_ms
        with self._writing() as db:
            db.execute(
                "UPDATE proofs SET state = ?, reason = ?, receipt = coalesce(?, receipt), done = ?, "
                "attempts = attempts + 1 WHERE id = ? AND state IN ('made', 'delivered')",
                (state, reason, receipt, done, identity),
            )

    def attempted(self, identity: int) -> None:
        """A proof was sent, and nobody knows what became of it."""
        with self._writing() as db:
            db.execute("UPDATE proofs SET attempts = attempts + 1 WHERE id = ?", (identity,))

    def open_proofs(self) -> list[Made]:
        """What was made and is not settled, the oldest first."""
        return [
            _made(row) for row in self._all("SELECT * FROM proofs WHERE state IN ('made', 'delivered') ORDER BY id")
        ]

    def proofs(self, *, last: int = 50) -> list[Made]:
        """The last ones, the newest first."""
        return [_made(row) for row in self._all("SELECT * FROM proofs ORDER BY id DESC LIMIT ?", (last,))]

    def proof_of(self, venue: str, statement: str) -> Made | None:
        """By its statement's digest in hex."""
        rows = self._all("SELECT * FROM proofs WHERE venue = ? AND statement = ?", (venue, statement))
        return None if not rows else _made(rows[0])

    def answered(self, venue: str, challenge: str) -> bool:
        """Whether a proof for a challenge was made."""
        return bool(self._all("SELECT 1 FROM proofs WHERE venue = ? AND challenge = ?", (venue, challenge)))

    def proved(self, venue: str, snapshot: str, generations: str) -> bool:
        """Whether a proof about a snapshot and these generations was made for a venue."""
        query = "SELECT 1 FROM proofs WHERE venue = ? AND snapshot = ? AND generations = ?"
        return bool(self._all(query, (venue, snapshot, generations)))

    def answered_about(self, venue: str, snapshot: str) -> bool:
        """Whether a proof about a snapshot was made for a venue, whatever the book was, or it was judged unhealthy."""
        query = "SELECT 1 FROM proofs WHERE venue = ? AND snapshot = ? LIMIT 1"
        return bool(self._all(query, (venue, snapshot))) or self.was_unhealthy(venue, snapshot)

    def judged_unhealthy(self, venue: str, snapshot: str, *, now_ms: int) -> None:
        """The claim was false at a snapshot."""
        with self._writing() as db:
            db.execute("INSERT OR IGNORE INTO unhealthy VALUES (?, ?, ?)", (venue, snapshot, now_ms))

    def was_unhealthy(self, venue: str, snapshot: str) -> bool:
        """Whether it was."""
        return bool(self._all("SELECT 1 FROM unhealthy WHERE venue = ? AND snapshot = ?", (venue, snapshot)))

    def counts(self) -> dict[str, dict[str, int]]:
        """How many proofs of each venue are in each state."""
        found: dict[str, dict[str, int]] = {}
        for row in self._all("SELECT venue, state, count(*) AS n FROM proofs GROUP BY venue, state"):
            found.setdefault(row["venue"], {})[row["state"]] = row["n"]
        return found

    # --- public documents, files, and the course of the margin -------------------------------------------------------

    def keep(self, kind: str, digest: str, text: str, *, now_ms: int) -> None:
        """Keep a public document."""
        with self._writing() as db:
            db.execute("INSERT OR IGNORE INTO documents VALUES (?, ?, ?, ?)", (kind, digest, text, now_ms))

    def kept(self, kind: str) -> list[str]:
        """Those of a kind, the oldest first."""
        return [
            str(row["text"]) for row in self._all("SELECT text FROM documents WHERE kind = ? ORDER BY time", (kind,))
        ]

    def files_are_done(self, marks: Sequence[tuple[str, str, str]], *, now_ms: int) -> None:
        """Files that were dealt with: folder, name, and a mark that tells whether it was changed since."""
        with self._writing() as db:
            db.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?)", [(*mark, now_ms) for mark in marks])

    def files_done(self, folder: str) -> dict[str, str]:
        """Names and marks."""
        return {
            row["name"]: row["mark"] for row in self._all("SELECT name, mark FROM files WHERE folder = ?", (folder,))
        }

    def add_headroom(self, time_ms: int, snapshot: str, equity: int, initial: int, maintenance: int) -> None:
        """Where the account stood at a snapshot, in valuation units. Secret."""
        with self._writing() as db:
            values = (time_ms, snapshot, str(equity), str(initial), str(maintenance))
            db.execute("INSERT OR REPLACE INTO headroom VALUES (?, ?, ?, ?, ?)", values)

    def headroom(self, *, last: int = 2000) -> list[tuple[int, int, int, int]]:
        """Time, equity, initial and maintenance requirement, the oldest first."""
        rows = self._all("SELECT * FROM headroom ORDER BY time DESC LIMIT ?", (last,))
        return [(r["time"], int(r["equity"]), int(r["initial"]), int(r["maintenance"])) for r in reversed(rows)]

    def prune(self, before_ms: int) -> None:
        """Drop what was done before a time."""
        with self._writing() as db:
            db.execute("DELETE FROM proofs WHERE proved < ? AND state != 'made'", (before_ms,))
            db.execute("DELETE FROM headroom WHERE time < ?", (before_ms,))
            db.execute("DELETE FROM unhealthy WHERE time < ?", (before_ms,))


def _generation(row: Any) -> Generation:
    return Generation(
        holding=row["holding"],
        number=row["number"],
        book=row["book"],
        opening=row["opening"],
        fills_name=row["fills_name"],
        fills_digest=row["fills_digest"],
        update=row["update_document"],
        delivered=bool(row["delivered"]),
    )


def _made(row: Any) -> Made:
    return Made(**{name: row[name] for name in Made.__dataclass_fields__})
