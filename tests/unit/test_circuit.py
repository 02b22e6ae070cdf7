"""An engine that fails fast: one looks, the others don't wait; and what stuck means."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from backend.api.reserve import PATIENT_SECONDS, Reserve
from backend.domain.errors import Unavailable
from backend.store.circuit import PAUSE_SECONDS, STALL_SECONDS, TELL_SECONDS, Circuit


@dataclass
class Clock:
    """A clock that goes on when told to, and a little at each look."""

    now: float = 100.0
    each: float = 0.0

    def __call__(self) -> float:
        self.now += self.each
        return self.now


def lose(circuit: Circuit) -> None:
    with pytest.raises(ZeroDivisionError), circuit.watched() as was_away:
        was_away()
        raise ZeroDivisionError


def test_after_an_outage_one_looks_and_the_others_are_refused_at_once() -> None:
    clock = Clock()
    circuit = Circuit(fails_fast=True, clock=clock)
    lose(circuit)
    with pytest.raises(Unavailable), circuit.watched():
        pass
    clock.now += PAUSE_SECONDS
    with circuit.watched():
        with pytest.raises(Unavailable), circuit.watched():
            pass
        assert circuit.is_stuck
    assert not circuit.is_stuck
    with circuit.watched(), circuit.watched():
        pass


def test_a_look_that_finds_nothing_keeps_the_others_out() -> None:
    clock = Clock()
    circuit = Circuit(fails_fast=True, clock=clock)
    lose(circuit)
    clock.now += PAUSE_SECONDS
    lose(circuit)
    with pytest.raises(Unavailable), circuit.watched():
        pass


def test_any_answer_proves_that_it_is_back() -> None:
    clock = Clock()
    circuit = Circuit(fails_fast=True, clock=clock)
    lose(circuit)
    clock.now += PAUSE_SECONDS
    with pytest.raises(KeyError), circuit.watched():
        raise KeyError
    assert not circuit.is_stuck


def test_workers_are_never_refused() -> None:
    circuit = Circuit()
    lose(circuit)
    with circuit.watched():
        assert circuit.is_stuck


def test_a_transaction_that_takes_long_makes_it_stuck() -> None:
    clock = Clock()
    circuit = Circuit(clock=clock)
    with circuit.watched():
        assert not circuit.is_stuck
        clock.now += STALL_SECONDS
        assert circuit.is_stuck
    assert not circuit.is_stuck


def test_a_condition_is_told_once_in_a_while() -> None:
    clock = Clock()
    circuit = Circuit(clock=clock)
    assert [circuit.may_tell(why) for why in ("full", "full", "read only")] == [True, False, True]
    clock.now += TELL_SECONDS
    assert circuit.may_tell("full")


def test_the_last_thread_is_refused_only_while_the_database_holds_up_the_others() -> None:
    clock = Clock(each=0.05)
    stuck = [False]
    reserve = Reserve(2, lambda: stuck[0], clock)
    reserve.enter()
    reserve.enter()
    before = clock.now
    reserve.enter()
    assert clock.now - before >= PATIENT_SECONDS
    stuck[0] = True
    with pytest.raises(Unavailable) as refused:
        reserve.enter()
    assert refused.value.code == "parent_stuck"
    for _ in range(3):
        reserve.leave()
    reserve.enter()
