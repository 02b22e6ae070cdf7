"""How fresh a feed is: pure, by the age of its last successful collection."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Freshness:
    """Ages in seconds up to which a feed is fresh, recent and stale; beyond the last it is outdated. WeRSS's by default."""

    fresh: float = 3600.0
    recent: float = 86400.0
    stale: float = 259200.0

    @property
    def limits(self) -> Mapping[str, float]:
        """Each status with the age at which it ends, freshest first."""
        return {"fresh": self.fresh, "recent": self.recent, "stale": self.stale, "outdated": float("inf")}

    def status(self, collected_at: datetime | None, now: datetime) -> str:
        """The status of a feed that was last collected then; `unknown` when it never was."""
        if collected_at is None:
            return UNKNOWN
        age = (now - collected_at).total_seconds()
        return next(name for name, limit in self.limits.items() if age < limit)

    def ages(self, status: str) -> tuple[float, float]:
        """From which age (included) to which (excluded) a feed has the status."""
        names, ends = list(self.limits), list(self.limits.values())
        place = names.index(status)
        return (ends[place - 1] if place else float("-inf")), ends[place]
