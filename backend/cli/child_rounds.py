"""`cascade child --once` and `cascade child sync`: one round, for hosts where nothing may run on, and by hand."""

from __future__ import annotations

from backend.cli.language import say
from backend.cli.output import result
from backend.workers.once import open_round
from backend.workers.remote import Remote
from config import Settings

KEPT = 1


def work_once(settings: Settings) -> int:
    """Claim, work, settle; 1 when results wait for the parent still. Raises `CascadeError`."""
    report = open_round(Remote(settings)).run()
    result(say("round_done", claimed=report.claimed, begun=report.begun, kept=report.kept))
    return KEPT if report.kept else 0
