"""What an error of the database means: run the transaction again, come back later, or never. Pure.

Sources: the error references of MariaDB and MySQL, SQLite's "Result and Error Codes", pymysql's client codes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType

UNBOUNDED = 1_000_000
# Where the same is likely to happen again, one more try finds out whether it was a moment's trouble.
ONCE_MORE = 2


class Remedy(Enum):
    """What to do about it.

    `REPEAT`: the whole transaction again at once, on a fresh connection. `LATER`: the server's own condition, which
    repeating does not change. `REFUSED`: what was sent is at fault and will be refused again. `UNKNOWN`: nobody
    foresaw it; a bug, or a condition that is not in the list yet.
    """

    REPEAT = "repeat"
    LATER = "later"
    REFUSED = "refused"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The remedy, the code of the sentence for people, how often to try in all, and whether the server itself is away."""

    remedy: Remedy
    why: str = "unavailable"
    tries: int = UNBOUNDED
    away: bool = False


@dataclass(frozen=True, slots=True)
class Trouble:
    """An error as its driver tells it: `family` is the DB-API class, `number` the server's code or SQLite's result code.

    `lost`: SQLAlchemy found that the connection is dead.
    """

    family: str
    number: int = 0
    text: str = ""
    is_sqlite: bool = False
    lost: bool = False


AWAY = Verdict(Remedy.REPEAT, away=True)
LOST = Verdict(Remedy.REPEAT)
BUSY = Verdict(Remedy.REPEAT, "database_busy")
ENDED = Verdict(Remedy.REPEAT, "database_ended_it", ONCE_MORE)
TIMED_OUT = Verdict(Remedy.LATER, "database_slow", 1)
CROWDED = Verdict(Remedy.REPEAT, "database_crowded", ONCE_MORE)
READ_ONLY = Verdict(Remedy.LATER, "database_read_only", 1)
FULL = Verdict(Remedy.LATER, "database_full", 1)
STORAGE = Verdict(Remedy.LATER, "database_storage", 1)
STARVED = Verdict(Remedy.LATER, "database_starved", 1)
LOCKED_OUT = Verdict(Remedy.LATER, "database_refuses_us", 1)
DAMAGED = Verdict(Remedy.LATER, "database_damaged", 1)
MISSING = Verdict(Remedy.LATER, "database_missing", 1)
REFUSED = Verdict(Remedy.REFUSED, "", 1)
UNKNOWN = Verdict(Remedy.UNKNOWN, "", 1)


def _by_number(groups: Mapping[Verdict, tuple[int, ...]]) -> Mapping[int, Verdict]:
    listed = [(number, verdict) for verdict, numbers in groups.items() for number in numbers]
    if len(dict(listed)) < len(listed):
        raise ValueError("a number stands in two groups")
    return MappingProxyType(dict(listed))


LOST_CODES = "1043 1152 1158 1159 1160 1161 1184 1927 2006 2012 2013 2014 2026 2027 2045 2055 3169 4031"
# By number; what each group has in common is the name of its verdict.
SERVER_CODES = _by_number(
    {
        # No connection (2002, 2003, 2005), shutting down (1053, 1079), a node of a cluster that is not ready (1047).
        AWAY: (1047, 1053, 1079, 2002, 2003, 2005),
        # Gone, lost, out of step, killed, ended by its own time-out; a handshake, TLS or packet that broke off.
        LOST: tuple(map(int, LOST_CODES.split())),
        # Changed since it was read, lock waits, deadlocks, rollbacks by a cluster, locks not granted at once.
        BUSY: (1020, 1205, 1213, 1689, 3058, 3101, 3572),
        # A person, or the server for reasons of its own, ended the statement.
        ENDED: (1317,),
        TIMED_OUT: (1969, 3024),
        # Connections of the server, of the user, of the hour, after too many errors; threads.
        CROWDED: (1040, 1129, 1135, 1203, 1226),
        # read_only, read-only transactions as the default, tables, InnoDB, schemas that were made read-only.
        READ_ONLY: (1036, 1290, 1792, 1836, 1874, 3989),
        FULL: (20, 135, 1021, 1114),
        # Files that can't be made, read, written, synced; an engine's own errors, at the commit too.
        STORAGE: (1, 2, 3, 27, 1004, 1016, 1023, 1024, 1026, 1030, 1180, 1181),
        # Memory, locks, transactions at once, files.
        STARVED: (5, 1037, 1038, 1041, 1206, 1637),
        # User, password, host, rights; a database that this user may not see.
        LOCKED_OUT: (1044, 1045, 1130, 1142, 1143, 1227, 1370, 1449, 1698, 1820, 1862, 3118, 3955, 4151),
        DAMAGED: (126, 1034, 1035, 1194, 1195, 1712, 1812, 1814, 1877, 1932),
        MISSING: (1049,),
        # A packet that is larger than the server takes.
        REFUSED: (1153,),
    }
)
# SQLite's primary result codes: the lowest byte of an extended one.
SQLITE_CODES = _by_number(
    {
        BUSY: (5, 6, 15, 17),
        ENDED: (4, 9),
        READ_ONLY: (8,),
        FULL: (13,),
        STORAGE: (10, 14, 22),
        STARVED: (7,),
        LOCKED_OUT: (3, 23),
        DAMAGED: (11, 26),
        REFUSED: (18, 19, 20, 25),
    }
)
# For drivers that give no number, and SQLite's general code 1.
TEXTS: tuple[tuple[str, Verdict], ...] = (
    ("database is locked", BUSY),
    ("database is busy", BUSY),
    ("database table is locked", BUSY),
    ("readonly database", READ_ONLY),
    ("disk is full", FULL),
    ("packet sequence number wrong", LOST),
)
# The classes of DB-API (PEP 249) that blame what was sent.
BLAMING = frozenset({"DataError", "IntegrityError", "NotSupportedError"})
NO_SPACE = ("errcode: 28 ", "errno: 28 ", "got error 28 ", "errcode: 122 ", "errno: 122 ", "no space left")


def judge(trouble: Trouble) -> Verdict:
    """The verdict on an error. What nobody foresaw is `UNKNOWN`, a dead connection always `REPEAT`."""
    found = _listed(trouble)
    if found is STORAGE and any(mark in trouble.text.casefold() for mark in NO_SPACE):
        return FULL
    if found is LOST and "timed out" in trouble.text:
        # It takes connections and answers nothing: whoever comes next would wait as long.
        return AWAY
    if found is not None:
        return found
    if trouble.lost:
        return LOST
    return REFUSED if trouble.family in BLAMING else UNKNOWN


def _listed(trouble: Trouble) -> Verdict | None:
    codes, number = SERVER_CODES, trouble.number
    if trouble.is_sqlite:
        codes, number = SQLITE_CODES, number & 0xFF
    if number in codes:
        return codes[number]
    text = trouble.text.casefold()
    return next((verdict for mark, verdict in TEXTS if mark in text), None)
