"""The presence of a remote node writes how it stands, every second."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from backend.domain.condition import FILE, Condition, from_text, to_text
from backend.domain.errors import CascadeError
from backend.workers.contact import Contact
from backend.workers.journal import BEGUN, CLAIMED, Journal
from backend.workers.outbox import Outbox
from backend.workers.transport import PresenceParts

WRITE_SECONDS = 1.0

log = logging.getLogger(__name__)


def read(data_dir: Path) -> Condition | None:
    """What was written last; nothing when there is none."""
    try:
        return from_text((data_dir / FILE).read_text(encoding="utf-8"))
    except OSError:
        return None


def write(data_dir: Path, condition: Condition) -> None:
    """Replace what was written, in one step. Raises `OSError`."""
    path = data_dir / FILE
    temporary = path.with_name(f".{FILE}-{os.getpid()}")
    temporary.write_text(to_text(condition), encoding="utf-8")
    temporary.replace(path)


@dataclass(frozen=True, slots=True)
class ConditionWriter:
    """Looks and writes. `refused` is the parent's refusal of this node's credentials, while it lasts."""

    data_dir: Path
    parts: PresenceParts
    contact: Contact
    journal: Journal
    outbox: Outbox
    refused: Callable[[], CascadeError | None]

    def look(self) -> Condition:
        """How it stands now. Raises `Unavailable` for the journal."""
        entries, report, refused = self.journal.entries(), self.outbox.report(), self.refused()
        contact, place = self.contact, self.parts.place
        return Condition(
            node_id=place.node_id,
            name=place.name,
            instance=self.parts.instance,
            written_at=time.time(),
            connected=contact.heard is not None and contact.away_since is None and refused is None,
            trouble="" if refused is None else refused.sentence(),
            away_seconds=contact.away_seconds,
            workers=self.parts.workers.get(),
            waiting=sum(one.size for one in entries if one.stage == CLAIMED),
            running=sum(one.size for one in entries if one.stage == BEGUN),
            outbox=report.entries,
            dead=report.dead,
        )

    def keep_writing(self, stop: threading.Event) -> None:
        """Every second until `stop` is set."""
        while True:
            try:
                write(self.data_dir, self.look())
            except (CascadeError, OSError) as error:
                log.debug("the condition of this child could not be written: %s", error)
            if stop.wait(WRITE_SECONDS):
                return
