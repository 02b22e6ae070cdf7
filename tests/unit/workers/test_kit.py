"""Slots and stops: what a process has in work, and how it is asked to end."""

from __future__ import annotations

import threading

from hypothesis import given
from hypothesis import strategies as st

from backend.workers.kit import Slots, Stop
from tests.unit.workers.fakes import LIMIT


def test_a_stop_begins_its_grace_when_it_is_set() -> None:
    moment = [0.0]
    stop = Stop(5.0, clock=lambda: moment[0])
    moment[0] = 100.0
    assert not stop.is_set()
    assert not stop.grace_is_over()
    stop.set()
    moment[0] = 104.9
    assert stop.is_set()
    assert not stop.grace_is_over()
    moment[0] = 105.0
    assert stop.grace_is_over()


def test_a_second_stop_does_not_lengthen_the_grace() -> None:
    moment = [0.0]
    stop = Stop(5.0, clock=lambda: moment[0])
    stop.set()
    moment[0] = 4.0
    stop.set()
    moment[0] = 5.0
    assert stop.grace_is_over()


@given(st.integers(1, 20), st.data())
def test_free_slots_are_what_is_neither_reserved_nor_running(size: int, data: st.DataObject) -> None:
    slots, running = Slots(size), 0
    reserved: dict[str, int] = {}
    for number in range(data.draw(st.integers(0, 30))):
        move = data.draw(st.sampled_from(["reserve", "start", "end", "give_back"]))
        if move == "reserve":
            reserved[str(number)] = data.draw(st.integers(0, 10))
            slots.reserve(str(number), reserved[str(number)])
        elif move == "end" and running:
            slots.end()
            running -= 1
        elif move in {"start", "give_back"} and reserved:
            order = data.draw(st.sampled_from(sorted(reserved)))
            if move == "give_back":
                del reserved[order]
                slots.give_back(order)
            elif reserved[order]:
                reserved[order] -= 1
                running += 1
                slots.start(order)
        assert slots.free == max(0, size - running - sum(reserved.values()))


def test_an_item_that_outlives_its_order_keeps_its_slot() -> None:
    slots = Slots(2)
    slots.reserve("order", 2)
    slots.start("order")
    slots.give_back("order")
    assert slots.free == 1
    slots.end()
    assert slots.free == 2


def test_an_announcement_wakes_whoever_waits() -> None:
    slots = Slots(1)
    waits = threading.Thread(target=lambda: slots.wait(LIMIT), daemon=True)
    waits.start()
    while waits.is_alive():
        slots.announce()
        waits.join(0.01)
    assert not waits.is_alive()
