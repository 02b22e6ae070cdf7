"""How many jobs wait: from Redis, else from what knows it without Redis."""

from __future__ import annotations

from backend.domain.errors import Unavailable
from backend.workers.demand import BLIND_SECONDS, Demand
from backend.workers.presence import SharedCount


def test_redis_says_how_many_wait_and_the_database_is_asked_only_without_it() -> None:
    now, waiting, asked, told = [100.0], [3], [0], SharedCount()

    def pending() -> int:
        asked[0] += 1
        return 7

    demand = Demand(lambda: waiting[0] if waiting else None, pending, told, clock=lambda: now[0])
    demand.look()
    assert (told.get(), asked[0]) == (3, 0)
    waiting.clear()
    for _ in range(10):
        demand.look()
    assert (told.get(), asked[0]) == (7, 1)
    now[0] += BLIND_SECONDS
    demand.look()
    assert asked[0] == 2


def test_without_either_what_was_known_last_stands() -> None:
    told = SharedCount()
    told.set(2)

    def pending() -> int:
        raise Unavailable(part="The database")

    Demand(lambda: None, pending, told).look()
    assert told.get() == 2
