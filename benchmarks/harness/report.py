"""What a benchmark hands back: tables of rows, and its aims with what was reached. Read all of it as ratios."""

from __future__ import annotations

import math
import statistics
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Value = float | int | str | None
Bound = Literal["at most", "at least"]


class BrokenResult(RuntimeError):
    """The measured thing did not do its work right, so that its figures mean nothing."""


# What ends a measurement: wrong results, and parts of the measured system that did not come up or down in time.
UNMEASURED = (BrokenResult, TimeoutError, AssertionError, subprocess.TimeoutExpired)


@dataclass(frozen=True, slots=True)
class Options:
    """How to run: `quick` uses small sizes, `rounds` repeats each measurement, `database` is mariadb or sqlite."""

    quick: bool = False
    rounds: int = 3
    database: str = "mariadb"
    workers: int = 2
    peers: bool = True


@dataclass(slots=True)
class Table:
    """Rows that belong together; the keys of the first row are the columns."""

    title: str
    rows: list[dict[str, Value]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def columns(self) -> list[str]:
        """Every key of every row, in the order of their first appearance."""
        return list(dict.fromkeys(key for row in self.rows for key in row))


@dataclass(frozen=True, slots=True)
class Aim:
    """A bound that the project set itself, and what this run reached."""

    name: str
    reached: float
    bound: Bound
    aim: float

    @property
    def met(self) -> bool:
        """Whether the reached value keeps to the bound."""
        return self.reached <= self.aim if self.bound == "at most" else self.reached >= self.aim


@dataclass(slots=True)
class Report:
    """What one benchmark found. `broken` names what is wrong whatever the machine: it fails the run."""

    tables: list[Table] = field(default_factory=list)
    aims: list[Aim] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)

    def as_data(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "tables": [{"title": one.title, "rows": one.rows, "notes": one.notes} for one in self.tables],
            "aims": [
                {
                    "name": one.name,
                    "reached": one.reached,
                    "bound": one.bound,
                    "aim": one.aim,
                    "met": one.met,
                }
                for one in self.aims
            ],
            "broken": self.broken,
        }


def ratio(value: float, base: float) -> float:
    """The value in units of the base, to two digits after the point or three significant ones."""
    if base <= 0:
        raise ValueError(f"a ratio needs a base above 0, not {base}")
    found = value / base
    return round(found, 2) if found >= 0.1 else float(f"{found:.3g}")


def with_ratios(rows: Sequence[Mapping[str, Value]], column: str, base: str) -> list[dict[str, Value]]:
    """The rows with a column `<column> ratio`: each row's value in units of the row named `base`."""
    bases = [row[column] for row in rows if row.get("name") == base]
    if len(bases) != 1 or not isinstance(bases[0], int | float):
        raise ValueError(f"there is not one row {base!r} with a number in {column!r}")
    found: list[dict[str, Value]] = []
    for row in rows:
        value = row.get(column)
        number = ratio(float(value), float(bases[0])) if isinstance(value, int | float) else None
        found.append({**row, f"{column} ratio": number})
    return found


def best(values: Sequence[float]) -> float:
    """The least disturbed of several measurements of a duration."""
    return min(values)


def percentile(values: Sequence[float], share: float) -> float:
    """The value that so large a share of the values does not exceed (nearest rank)."""
    if not values:
        raise ValueError("no values")
    ordered = sorted(values)
    # Floats: 0.99 of 100 values are a trifle more than 99.
    return ordered[max(0, math.ceil(share * len(ordered) - 1e-9) - 1)]


def median(values: Sequence[float]) -> float:
    """The middle of several measurements."""
    return float(statistics.median(values))
