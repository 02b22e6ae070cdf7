"""The plan of faults is a pure function of its seed, and breaks everything that it says it does."""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.chaos.conftest import SECONDS
from tests.chaos.injectors import Injector
from tests.chaos.plan import KINDS, SERVER_PAUSE_SECONDS, SETTLING_SECONDS, make_plan

seeds = st.integers(0, 2**32)


@given(seeds, st.floats(1, 600), st.sampled_from([15.0, 45.0]))
def test_the_same_seed_makes_the_same_plan(seed: int, seconds: float, lease: float) -> None:
    assert make_plan(seed, seconds, lease) == make_plan(seed, seconds, lease)


def test_different_seeds_make_different_plans() -> None:
    assert len({make_plan(seed, 120, 15) for seed in range(50)}) == 50


@given(seeds, st.floats(10, 600))
def test_faults_come_in_order_within_the_time_at_targets_of_their_kind(seed: int, seconds: float) -> None:
    plan = make_plan(seed, seconds, 15)
    assert list(plan) == sorted(plan, key=lambda fault: fault.at)
    for fault in plan:
        kind = KINDS[fault.kind]
        assert SETTLING_SECONDS <= fault.at <= seconds
        assert fault.target in kind.targets
        assert 0 <= fault.chance < 1
        factor = 15 if kind.in_leases else 1
        assert kind.seconds[0] * factor - 0.01 <= fault.seconds <= kind.seconds[1] * factor + 0.01


@given(seeds)
def test_a_server_is_left_alone_until_it_has_served_a_while(seed: int) -> None:
    by_server = defaultdict(list)
    for fault in make_plan(seed, 600, 15):
        if KINDS[fault.kind].server:
            by_server[fault.target].append(fault)
    for faults in by_server.values():
        for before, after in pairwise(faults):
            assert after.at >= before.ends + SERVER_PAUSE_SECONDS


@given(seeds)
def test_the_time_of_a_normal_run_holds_every_kind_but_for_servers_that_are_down_already(seed: int) -> None:
    found = Counter(fault.kind for fault in make_plan(seed, SECONDS, 15))
    assert {name for name, kind in KINDS.items() if not kind.server} <= found.keys()
    assert any(KINDS[name].server == "mariadb" for name in found)
    assert any(KINDS[name].server == "redis" for name in found)


def test_a_freeze_past_the_lease_is_longer_than_the_lease() -> None:
    for seed in range(20):
        for fault in make_plan(seed, 120, 45):
            assert fault.kind != "freeze_past_lease" or fault.seconds > 45


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_can_be_done(kind: str) -> None:
    assert callable(getattr(Injector, f"_do_{kind}", None))
