"""Which deliveries may be sent now: pure, within each receiver's limit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol, TypeVar

from backend.domain.receivers import PER_MINUTE

W = TypeVar("W", bound="Waiting")

WINDOW_SECONDS = 60.0


class Waiting(Protocol):
    """What admission needs to know of a delivery."""

    @property
    def receiver(self) -> str:
        """Whom it goes to."""
        ...

    @property
    def receiver_kind(self) -> str:
        """Which limits apply."""
        ...


def admit(deliveries: Iterable[W], recent: Mapping[str, int], room: int) -> list[W]:
    """The oldest deliveries within `room` and each receiver's messages per minute; `recent` counts the last minute."""
    used = dict(recent)
    admitted: list[W] = []
    for delivery in deliveries:
        limit = PER_MINUTE.get(delivery.receiver_kind)
        if len(admitted) >= room:
            break
        if limit is not None and used.get(delivery.receiver, 0) >= limit:
            continue
        used[delivery.receiver] = used.get(delivery.receiver, 0) + 1
        admitted.append(delivery)
    return admitted
