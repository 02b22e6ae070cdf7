"""`HttpLedger`: phases 1 and 3 by HTTPS at the parent, for remote nodes; the journal knows what was claimed."""

from __future__ import annotations

import gzip
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from backend import metrics
from backend.domain import wire
from backend.domain.errors import ParentFailed, ParentRefused, Unavailable
from backend.domain.orders import Outcome, WorkOrder
from backend.domain.ports import Checkpoint, Lease, Standing
from backend.domain.wire import BeginAsk, Lost, Renewal, Renewed, SettleAsk, Stands
from backend.workers.journal import Journal, Who
from backend.workers.parent import Call, Parent, Said, understood

# A large outcome on a slow line; each try of it has so long.
UPLOAD_SECONDS = 120.0
UPLOAD_PATIENCE_SECONDS = 60.0
CONFLICT = 409
SEND_AGAIN = frozenset({"chunks_missing", "chunks_broken"})


@dataclass(frozen=True, slots=True)
class HttpLedger:
    """Implements `Ledger` over HTTPS. Every call may be repeated; `Unavailable` when the parent stays away.

    `progress` says, by allocation, how far the leased work is; `began` hears of each order.
    """

    parent: Parent
    journal: Journal
    who: Who
    progress: Callable[[Sequence[str]], Mapping[str, str]] = field(default=lambda _ids: {})
    began: Callable[[WorkOrder], None] = field(default=lambda _order: None)

    def begin(self, allocation_id: str, attempt: int, execution: str) -> WorkOrder | None:
        """See `Ledger.begin`. The order may carry an earlier execution, whose begin was never answered."""
        known = self.journal.take(allocation_id, attempt, execution, self.who)
        return None if known is None else self._begin(allocation_id, attempt, known)

    def begin_next(self, queue: str, execution: str, max_size: int, *, idle: bool = True) -> WorkOrder | None:
        """See `Ledger.begin_next`: the oldest claimed work of the queue that fits."""
        while (entry := self.journal.take_next(queue, execution, max_size, self.who, idle=idle)) is not None:
            order = self._begin(entry.allocation_id, entry.attempt, entry.execution)
            if order is not None:
                return order
        return None

    def order_of(self, allocation_id: str, attempt: int, execution: str) -> WorkOrder | None:
        """What begins now: at the parent."""
        ask = BeginAsk(attempt, execution, self.who.instance)
        data = self._post(allocation_id, "begin", ask).data
        return None if data is None else understood(WorkOrder, data)

    def _begin(self, allocation_id: str, attempt: int, execution: str) -> WorkOrder | None:
        started = time.monotonic()
        try:
            order = self.order_of(allocation_id, attempt, execution)
        except (Unavailable, ParentFailed):
            self.journal.put_back(execution)
            raise
        except ParentRefused:
            self.journal.drop(allocation_id, attempt, execution)
            raise
        if order is None:
            self.journal.drop(allocation_id, attempt, execution)
        else:
            metrics.observe(metrics.PHASES, time.monotonic() - started, phase="begin", kind=order.kind)
            self.began(order)
        return order

    def checkpoint(self, order: WorkOrder, progress: Checkpoint) -> Standing:
        """See `Ledger.checkpoint`."""
        lease = Lease(order.allocation_id, order.attempt, order.execution)
        ask = gzip.compress(wire.encode(wire.checkpoint_ask(lease, progress)), compresslevel=5, mtime=0)
        return self._standing(order.allocation_id, "checkpoint", ask)

    def renew(self, leases: Sequence[Lease]) -> dict[str, Standing]:
        """See `Ledger.renew`."""
        standings: dict[str, Standing] = {}
        for start in range(0, len(leases), wire.MAX_LEASES):
            some = tuple(leases[start : start + wire.MAX_LEASES])
            told = self.progress([lease.allocation_id for lease in some])
            said = self._post(some[0].allocation_id, "renew", Renewal(some, dict(told)))
            standings |= understood(Renewed, said.data).standings
        return standings

    def settle(self, outcome: Outcome) -> Standing:
        """See `Ledger.settle`. Work whose outcome can't be told now keeps its place in the journal, but no slot."""
        try:
            standing = self._settle(outcome)
        except ParentRefused:
            self._forget(outcome)
            raise
        except Unavailable:
            # The outcome itself must get into the outbox, even if the journal takes nothing.
            with suppress(Unavailable):
                self.journal.finish(outcome.execution)
            raise
        self._forget(outcome)
        return standing

    def give_back(self, lease: Lease, cause: str, *, blames: bool) -> None:
        """Say that the execution is over for sure: its process ended, and its outcome is not in the outbox."""
        with suppress(ParentRefused):
            self._post(lease.allocation_id, "lost", Lost(lease.attempt, lease.execution, cause, blames))
        self.journal.drop(lease.allocation_id, lease.attempt, lease.execution)

    def _forget(self, outcome: Outcome) -> None:
        with suppress(Unavailable):
            self.journal.drop(outcome.allocation_id, outcome.attempt, outcome.execution)

    def _settle(self, outcome: Outcome) -> Standing:
        ask = SettleAsk(outcome.attempt, outcome.execution, outcome)
        packed = gzip.compress(wire.encode(ask), compresslevel=5, mtime=0)
        if len(packed) <= wire.WHOLE_BYTES:
            return self._standing(outcome.allocation_id, "settle", packed)
        try:
            return self._settle_staged(outcome)
        except ParentRefused as error:
            if error.parent_code not in SEND_AGAIN:
                raise
        # Forgotten by the parent meanwhile, or by a settle the refusal of which got lost.
        return self._settle_staged(outcome)

    def _settle_staged(self, outcome: Outcome) -> Standing:
        # The same bytes each time, so that a repeated chunk is the same one.
        packed = gzip.compress(wire.encode(outcome), compresslevel=5, mtime=0)
        parts = [
            packed[start : start + wire.CHUNK_BYTES] for start in range(0, len(packed), wire.CHUNK_BYTES)
        ]
        for number, part in enumerate(parts):
            if self._stage(outcome, f"chunk={number}&of={len(parts)}", part) is Standing.SUPERSEDED:
                return Standing.SUPERSEDED
        ask = SettleAsk(outcome.attempt, outcome.execution, staged=len(parts), sha256=wire.digest_of(packed))
        return self._standing(outcome.allocation_id, "settle", ask)

    def _stage(self, outcome: Outcome, which: str, part: bytes) -> Standing:
        query = f"settle?{which}&attempt={outcome.attempt}&execution={outcome.execution}"
        return self._answer(lambda: self._send(outcome.allocation_id, query, part, {}))

    def _standing(self, allocation_id: str, verb: str, body: object) -> Standing:
        return self._answer(lambda: self._post(allocation_id, verb, body))

    def _answer(self, call: Callable[[], Said]) -> Standing:
        try:
            said = call()
        except ParentRefused as error:
            if error.parent_status == CONFLICT and error.standing:
                return Standing(error.standing)
            raise
        return understood(Stands, said.data).standing

    def _post(self, allocation_id: str, verb: str, body: object) -> Said:
        """`body` is gzipped JSON when it is bytes."""
        json = {"Content-Type": "application/json"}
        if isinstance(body, bytes):
            return self._send(allocation_id, verb, body, json | {"Content-Encoding": "gzip"})
        return self._send(allocation_id, verb, wire.encode(body), json)

    def _send(self, allocation_id: str, verb: str, body: bytes, headers: Mapping[str, str]) -> Said:
        large = len(body) > wire.WHOLE_BYTES
        path = f"/allocations/{allocation_id}/{verb}"
        if large:
            return self.parent.call(
                Call(
                    "POST",
                    path,
                    body,
                    headers,
                    seconds=UPLOAD_SECONDS,
                    patience=UPLOAD_PATIENCE_SECONDS,
                )
            )
        return self.parent.call(Call("POST", path, body, headers))
