"""When a child asks its parent again: pure policies with full jitter, so that hundreds of children never come at once.

`roll` is a random number from 0 (included) to 1 (not included).
"""

from __future__ import annotations

from dataclasses import dataclass

LARGEST_EXPONENT = 30


@dataclass(frozen=True, slots=True)
class Backoff:
    """Waits between tries, in seconds: anywhere up to a limit that doubles from `base` to `longest`."""

    base: float = 0.5
    longest: float = 60.0

    def limit(self, failures: int) -> float:
        """The longest wait after so many failures in a row (1 or more)."""
        return min(self.longest, self.base * 2.0 ** min(failures - 1, LARGEST_EXPONENT))

    def wait(self, failures: int, roll: float, retry_after: float | None = None) -> float:
        """How long to wait after so many failures in a row; never less than what the parent asked for.

        Its wish is stretched at random too: everybody whom it told the same number would come back together.
        """
        limit = self.limit(failures)
        if retry_after is None:
            return limit * roll
        return retry_after + max(limit, retry_after / 2) * roll


def return_wait(away_seconds: float, roll: float, longest: float = 30.0) -> float:
    """How long to wait before giving a parent that is back what was kept for it, after it was away for so long.

    A short absence costs next to nothing; after a long one the children spread over `longest` seconds.
    """
    return min(longest, max(0.0, away_seconds)) * roll


def staggered(every: float, roll: float, spread: float = 0.1) -> float:
    """The next turn of something that comes every so many seconds, moved by up to a tenth, so that nobody stays in step."""
    return every * (1 - spread / 2 + spread * roll)
