"""For how long history is kept."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Retention:
    """Days by what is kept; 0 keeps it for ever. Runs mean all that belongs to them; of articles, the text goes."""

    runs_days: float = 30.0
    articles_days: float = 0.0
    sync_log_days: float = 7.0
    alert_days: float = 90.0
