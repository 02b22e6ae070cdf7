"""What one exchange with the outside knows about itself: its deadline, and how far it got."""

from __future__ import annotations

import time
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(slots=True)
class Exchange:
    """One request and its answer, redirects included. `deadline` is on the monotonic clock.

    `sent`: bytes of the request may have reached the other side. `connected`: a connection was opened for it.
    """

    deadline: float
    sent: bool = False
    connected: bool = False

    @classmethod
    def lasting(cls, seconds: float) -> Exchange:
        """An exchange that may take so many seconds from now."""
        return cls(time.monotonic() + seconds)

    def remaining(self) -> float:
        """Seconds left. Raises `TimeoutError` when there are none."""
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the exchange is over its limit")
        return left


# Connections are made deep inside urllib3, which hands no object of ours through.
current: ContextVar[Exchange] = ContextVar("outbound_exchange")
