"""The lease thread: renews what this process holds, in its own short transaction, while the process lives."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from backend.domain.errors import CascadeError
from backend.domain.orders import WorkOrder
from backend.domain.ports import Lease, Ledger, Standing

log = logging.getLogger(__name__)

SOON_SECONDS = 3.0


class Leases:
    """Renews every `seconds`. A dead or frozen process renews nothing: that is the point of it."""

    def __init__(self, ledger: Ledger, seconds: float) -> None:
        self._ledger = ledger
        self._seconds = seconds
        self._held: dict[str, Lease] = {}
        self._cancelled: set[str] = set()
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="leases", daemon=True)

    def start(self) -> None:
        """Start the thread; after the process's last fork."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stop.set()
        self._thread.join(timeout=5)

    @contextmanager
    def held(self, order: WorkOrder) -> Iterator[None]:
        """Renew the order's lease while inside."""
        lease = Lease(order.allocation_id, order.attempt, order.execution)
        with self._lock:
            self._held[order.execution] = lease
        try:
            yield
        finally:
            with self._lock:
                self._held.pop(order.execution, None)
                self._cancelled.discard(order.execution)

    def is_cancelled(self, execution: str) -> bool:
        """Whether a renewal was told that the work is cancelled."""
        with self._lock:
            return execution in self._cancelled

    def renew_now(self) -> dict[str, Standing]:
        """One renewal of everything that is held; by execution, its standing."""
        with self._lock:
            leases = list(self._held.values())
        standings = self._ledger.renew(leases) if leases else {}
        with self._lock:
            told = {name for name, standing in standings.items() if standing is Standing.CANCELLED}
            self._cancelled |= told & self._held.keys()
        return standings

    def _run(self) -> None:
        wait = self._seconds
        while not self._stop.wait(wait):
            # After a failure sooner: the next regular turn could be too late.
            wait = min(SOON_SECONDS, self._seconds)
            try:
                lost = [
                    name for name, standing in self.renew_now().items() if standing is Standing.SUPERSEDED
                ]
                if lost:
                    log.info("%d executions settled meanwhile or were superseded", len(lost))
                wait = self._seconds
            except CascadeError as error:
                log.warning("leases could not be renewed: %s", error)
            except Exception:
                # The thread must outlive any error: without it all work of this process would be lost.
                log.exception("leases could not be renewed")
