"""Any order of the protocol's calls keeps what was promised, and everything ends."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from sqlalchemy import Engine

from tests.integration.protocol import beats, crowd, people, workers
from tests.integration.protocol.machine import Protocol
from tests.integration.protocol.stage import open_stage
from tests.integration.protocol.world import World

# Shrinking takes many minutes: whoever wants the shortest failing history asks for `--soak`.
EXAMPLES, STEPS = 5, 60


@pytest.fixture
def world(engine: Engine) -> Iterator[World]:
    """Nodes, feeds and tasks on the database."""
    world = World(engine).build()
    yield world
    world.close()


def run(world: World, examples: int, steps: int, *phases: Phase) -> None:
    """So many histories of so many calls."""
    wanted = settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        database=None,
        # The short run goes through the same histories each time; the soak looks for new ones.
        derandomize=Phase.shrink not in phases,
        phases=phases,
        suppress_health_check=list(HealthCheck),
    )
    # Any factory will do, whatever its annotation says.
    run_state_machine_as_test(partial(Protocol, world), settings=wanted)  # type: ignore[arg-type]


@pytest.mark.timeout(600)
def test_any_order_of_calls_keeps_what_was_promised_and_everything_ends(world: World) -> None:
    run(world, EXAMPLES, STEPS, Phase.generate)


def begin_all(machine: Protocol) -> None:
    """Every job that waits begins."""
    beats.plan(machine.stage)
    for node, one, attempt in machine.jobs():
        workers.begin(machine.stage, node, one, attempt)


def settle_all(machine: Protocol) -> None:
    """Whoever collects ends well; articles of each feed are due."""
    for execution in machine.running():
        if execution.order.feeds:
            workers.settle(machine.stage, execution, ("a", "a", "a"))


def test_the_known_dangers_one_after_the_other(world: World) -> None:
    """What chance brings together in some histories only: each has its own guard in the store."""
    machine = Protocol(world)
    machine.start()
    begin_all(machine)
    machine.sweeper_is_slow(pick=0, ends=["a"] * 3, then="renew")
    # A sweeper that read before a gap acts after it.
    machine.system_is_away(seconds=60, stamped=True)
    beats.act(machine.stage, machine.stage.looks[-1])
    machine.stage.pass_time(80)
    workers.renew(machine.stage, machine.running())
    machine.switch_node("n1", "silent")
    machine.repair_node(pick=0)
    machine.worker_is_replaced(pick=0, ends=["a"] * 3, answers=[], begun=True)
    settle_all(machine)
    begin_all(machine)
    first = machine.sending()[-1]
    # Nobody hears of the first answers; the next attempt begins, and then they come.
    workers.send(machine.stage, first, ["heard"] * 20)
    machine.stage.pass_time(46)
    machine.stage.see()
    beats.sweep(machine.stage)
    begin_all(machine)
    workers.settle(machine.stage, first, ())
    machine.send(pick=0, answers=["heard"] * 20)
    machine.teardown()


def crowd_together(world: World, seed: int, rounds: int) -> None:
    """Rounds of three threads on the same rows, each followed by a look; then everything ends."""
    stage = open_stage(world)
    try:
        for number in range(rounds):
            for task in world.tasks[:2]:
                people.dispatch(stage, task)
            crowd.play(stage, seed * 1000 + number, threads=3, calls=12)
            stage.see_crowd()
        beats.let_end(stage)
    except AssertionError as error:
        error.add_note(f"seed {seed}")
        raise


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """The run's own seed, which pytest prints; what threads do is much alike with the same one, never the same."""
    return int(request.config.getoption("randomly_seed"))


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_many_long_histories_keep_what_was_promised(world: World) -> None:
    run(world, 500, 80, Phase.generate, Phase.shrink)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("backend", ["mariadb"], indirect=True)
def test_calls_that_meet_in_the_database_keep_what_was_promised(world: World, seed: int) -> None:
    crowd_together(world, seed, rounds=4)


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("backend", ["mariadb", "sqlite"], indirect=True)
def test_many_calls_that_meet_keep_what_was_promised(world: World, seed: int) -> None:
    for number in range(100):
        crowd_together(world, seed + number, rounds=6)
