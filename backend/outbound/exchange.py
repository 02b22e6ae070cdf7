"""What one exchange with the outside knows about itself: its deadline, and how far it got."""

from __future__ import annotations

import time
from contextvars import ContextVar
from dataclasses import dataclass

REPEATABLE = frozenset({"GET", "HEAD"})


@dataclass(slots=True)
class Exchange:
    """One request and its answer, redirects included. `deadline` is on the monotonic clock.

    `fresh`: no kept connection may be used. `sent`: bytes of the request may have reached the other side.
    `connected`: a connection was opened for it.
    """

    deadline: float
    fresh: bool = False
    sent: bool = False
    connected: bool = False

    @classmethod
    def lasting(cls, seconds: float, method: str) -> Exchange:
        """An exchange that may take so many seconds from now.

        What must not be repeated never goes over a kept connection: there a broken answer can't be told from
        a server that had hung up before.
        """
        return cls(time.monotonic() + seconds, fresh=method.upper() not in REPEATABLE)

    def remaining(self) -> float:
        """Seconds left. Raises `TimeoutError` when there are none."""
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the exchange is over its limit")
        return left


# Connections are made deep inside urllib3, which hands no object of ours through.
current: ContextVar[Exchange] = ContextVar("outbound_exchange")
