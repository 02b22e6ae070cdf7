"""Captures the statements that really run, and what MariaDB says of each: its plan, rows read, rows sorted."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Engine, event

EXPLAINABLE = re.compile(r"\s*(SELECT|UPDATE|DELETE|INSERT\b.*\bSELECT)\b", re.IGNORECASE | re.DOTALL)
LISTS = re.compile(r"\((?:\s*%\([^)]*\)s\s*,)*\s*%\([^)]*\)s\s*\)")
PLACEHOLDER = re.compile(r"%\([^)]*\)s")
LOOKS = 3
"""How often the same statement is looked at in one loop: looking costs more than the statement itself."""

READ = "Handler_read_"
SORTED = "Sort_rows"


@dataclass(frozen=True)
class Access:
    """One line of a plan: how a table is reached. `rows` is the optimizer's estimate."""

    table: str
    how: str
    key: str
    rows: int

    def __str__(self) -> str:
        return f"{self.table}: {self.how} {self.key or 'without index'}"


@dataclass
class Statement:
    """One statement, whatever its values: where it ran, how often, and the worst that was seen."""

    text: str
    loops: dict[str, int] = field(default_factory=dict)
    plan: tuple[Access, ...] = ()
    read: int = 0
    sorted: int = 0

    @property
    def times(self) -> int:
        """How often it ran in all loops."""
        return sum(self.loops.values())


def normal(text: str) -> str:
    """The statement without what differs between two runs of it: the length of lists, the names of parameters."""
    text = LISTS.sub("(…)", " ".join(text.split()))
    return PLACEHOLDER.sub("?", re.sub(r"(\(…\)), (\(…\)(, )?)+", r"\1, …", text))


def findings(statement: Statement, sizes: Mapping[str, int], large: int) -> list[str]:
    """What is wrong with the statement where a table of `large` rows is large; `sizes` is by table."""
    found = []
    for access in statement.plan:
        whole = access.how == "ALL" or (access.how == "index" and statement.read > large)
        if whole and sizes.get(access.table, 0) >= large:
            found.append(f"reads all of {access.table}")
    if statement.read > large:
        found.append(f"reads {statement.read} rows")
    if statement.sorted > large:
        found.append(f"sorts {statement.sorted} rows")
    return found


class Recorder:
    """Listens to an engine. Everything that runs inside `loop(name)` is captured."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.statements: dict[str, Statement] = {}
        self.name = ""
        self._aliases: dict[str, str] = {}

    @contextmanager
    def loop(self, name: str) -> Iterator[None]:
        """Capture what the loop does."""
        self.name = name
        event.listen(self.engine, "before_cursor_execute", self._before)
        event.listen(self.engine, "after_cursor_execute", self._after)
        try:
            yield
        finally:
            event.remove(self.engine, "before_cursor_execute", self._before)
            event.remove(self.engine, "after_cursor_execute", self._after)

    def _before(
        self, _connection: Any, cursor: Any, text: str, parameters: Any, context: Any, many: bool
    ) -> None:
        if many or not EXPLAINABLE.match(text):
            return
        key = normal(text)
        statement = self.statements.setdefault(key, Statement(key))
        statement.loops[self.name] = statement.loops.get(self.name, 0) + 1
        if statement.loops[self.name] > LOOKS:
            return
        statement.plan = _worse(statement.plan, _explain(cursor, text, parameters))
        context.seen_before = _counters(cursor)

    def _after(
        self, _connection: Any, cursor: Any, text: str, _parameters: Any, context: Any, _many: bool
    ) -> None:
        before = getattr(context, "seen_before", None)
        if before is None:
            return
        after = _counters(cursor)
        # Asking for the counters moves them too: what one question costs is subtracted.
        cost = _difference(after, _counters(cursor))
        spent = _difference(before, after)
        statement = self.statements[normal(text)]
        statement.read = max(statement.read, spent[0] - cost[0])
        statement.sorted = max(statement.sorted, spent[1] - cost[1])


def _explain(cursor: Any, text: str, parameters: Any) -> tuple[Access, ...]:
    with cursor.connection.cursor() as beside:
        beside.execute(f"EXPLAIN {text}", parameters)
        names = [column[0] for column in beside.description]
        rows = [dict(zip(names, row, strict=True)) for row in beside.fetchall()]
    return tuple(_access(row) for row in rows if row["table"])


def _access(row: Mapping[str, Any]) -> Access:
    # MariaDB writes "500 (2%)" where a second index filters the rows.
    rows = int(str(row["rows"] or 0).split()[0])
    return Access(str(row["table"]), str(row["type"]), str(row["key"] or ""), rows)


def _worse(known: tuple[Access, ...], fresh: tuple[Access, ...]) -> tuple[Access, ...]:
    def badness(plan: Collection[Access]) -> int:
        return sum(access.rows + (10**9 if access.how == "ALL" else 0) for access in plan)

    return fresh if badness(fresh) >= badness(known) else known


def _counters(cursor: Any) -> tuple[int, int]:
    with cursor.connection.cursor() as beside:
        beside.execute(
            f"SHOW SESSION STATUS WHERE Variable_name LIKE '{READ}%' OR Variable_name = '{SORTED}'"
        )
        values = {str(name): int(value) for name, value in beside.fetchall()}
    return sum(value for name, value in values.items() if name.startswith(READ)), values[SORTED]


def _difference(before: Sequence[int], after: Sequence[int]) -> tuple[int, int]:
    return after[0] - before[0], after[1] - before[1]


def table_sizes(engine: Engine) -> dict[str, int]:
    """Rows by table, counted."""
    with engine.connect() as connection:
        names = connection.exec_driver_sql("SHOW TABLES").scalars().all()
        return {
            name: int(connection.exec_driver_sql(f"SELECT COUNT(*) FROM {name}").scalar_one())  # noqa: S608
            for name in names
        }
