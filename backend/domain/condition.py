"""How a remote node stands, as its presence says it to people, to `/readyz` and to scripts on its machine. Nothing in it is secret."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

FILE = "child.json"
"""In the data directory."""
# Older than that, nobody writes it any more.
FRESH_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class Condition:
    """`away_seconds`: since when the parent does not answer; `trouble`: what a person must mend. `written_at` is Unix seconds.

    `waiting` and `running` count feeds and other items, not batches.
    """

    node_id: str
    name: str
    instance: str
    written_at: float
    connected: bool = False
    trouble: str = ""
    away_seconds: float = 0.0
    workers: int = 0
    waiting: int = 0
    running: int = 0
    outbox: int = 0
    dead: int = 0

    def is_fresh(self, now: float) -> bool:
        """Whether its writer still writes."""
        return now - self.written_at <= FRESH_SECONDS


def to_text(condition: Condition) -> str:
    """As it stands in the file."""
    return json.dumps(asdict(condition))


def from_text(text: str) -> Condition | None:
    """What stands in the file; nothing for a file of another version."""
    try:
        return Condition(**json.loads(text))
    except (ValueError, TypeError):
        return None
