"""The journal: what was claimed is known after any death, and each piece of work has one execution."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from backend.domain.errors import Unavailable
from backend.domain.identifiers import new_id
from backend.domain.wire import Piece
from backend.workers.journal import BEGUN, CLAIMED, FINISHED, Entry, Journal, Who
from tests.building import together

ME = Who("start", "worker")
QUEUE = "node:n"


def pieces(*sizes: int, alone: bool = False) -> list[Piece]:
    return [Piece(new_id(), 1, "update", QUEUE, size, alone) for size in sizes]


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal.db")


def filled(journal: Journal, *works: Piece) -> Journal:
    journal.close_claim(journal.open_claim(), works)
    return journal


def in_child(work: Callable[[], object]) -> int:
    """Run it in a forked process that is killed right afterwards; how that ended."""
    child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os.kill(os.getpid(), signal.SIGKILL)
    return os.waitpid(child, 0)[1]


def test_a_claim_that_was_never_answered_is_repeated_with_its_id_even_after_a_kill(
    journal: Journal, tmp_path: Path
) -> None:
    told: list[str] = []
    in_child(
        lambda: (tmp_path / "id").write_text(Journal(tmp_path / "journal.db").open_claim("update")) and None
    )
    told.append((tmp_path / "id").read_text())
    assert journal.open_claim("update") == told[0]
    assert journal.open_claim("publish") != told[0]
    journal.close_claim(told[0], [])
    assert journal.open_claim("update") != told[0]


def test_claimed_work_survives_a_kill_of_every_process(journal: Journal, tmp_path: Path) -> None:
    first, second = pieces(2, 3)
    in_child(lambda: filled(Journal(tmp_path / "journal.db"), first, second))
    assert journal.entries() == [
        Entry(one.allocation_id, 1, "update", QUEUE, one.size) for one in (first, second)
    ]


def test_an_answer_that_comes_twice_brings_nothing_new_and_begins_nothing_again(journal: Journal) -> None:
    (one,) = pieces(1)
    claim = journal.open_claim()
    assert journal.close_claim(claim, [one]) == [one]
    assert journal.take(one.allocation_id, 1, "x1", ME) == "x1"
    assert journal.close_claim(claim, [one]) == []
    assert [entry.stage for entry in journal.entries()] == [BEGUN]


def test_a_later_attempt_takes_the_place_of_an_earlier_one(journal: Journal) -> None:
    (one,) = pieces(1)
    filled(journal, one)
    journal.take(one.allocation_id, 1, "x1", ME)
    again = Piece(one.allocation_id, 2, "publish", QUEUE)
    assert journal.close_claim(journal.open_claim(), [again]) == [again]
    (entry,) = journal.entries()
    assert (entry.attempt, entry.stage, entry.execution) == (2, CLAIMED, "")


def test_the_oldest_that_fits_is_taken_and_what_must_be_alone_waits_for_an_idle_process(
    journal: Journal,
) -> None:
    large, small = pieces(5, 2)
    (suspect,) = pieces(1, alone=True)
    filled(journal, large, small, suspect)
    busy = journal.take_next(QUEUE, "x1", 3, ME, idle=False)
    assert busy is not None
    assert (busy.allocation_id, busy.execution) == (small.allocation_id, "x1")
    assert journal.take_next(QUEUE, "x2", 3, ME, idle=False) is None
    idle = journal.take_next(QUEUE, "x2", 3, ME)
    assert idle is not None
    assert idle.allocation_id == suspect.allocation_id
    assert journal.take_next("node:other", "x3", 9, ME) is None


def test_work_that_another_execution_runs_is_not_begun_again(journal: Journal) -> None:
    (one,) = pieces(1)
    filled(journal, one)
    assert journal.take(one.allocation_id, 1, "x1", ME) == "x1"
    assert journal.take(one.allocation_id, 1, "x1", ME) == "x1"
    assert journal.take(one.allocation_id, 1, "x2", ME) is None


def test_a_begin_that_was_not_answered_is_begun_later_with_the_same_execution(journal: Journal) -> None:
    (one,) = pieces(1)
    filled(journal, one)
    journal.take(one.allocation_id, 1, "x1", ME)
    journal.put_back("x1")
    assert journal.take(one.allocation_id, 1, "x2", Who("start", "other")) == "x1"
    journal.put_back("x1")
    taken = journal.take_next(QUEUE, "x3", 1, ME)
    assert taken is not None
    assert taken.execution == "x1"


def test_work_that_it_does_not_know_may_be_begun(journal: Journal) -> None:
    assert journal.take("a", 1, "x1", ME) == "x1"
    (one,) = pieces(1)
    filled(journal, one)
    assert journal.take(one.allocation_id, 2, "x2", ME) == "x2"


def test_only_the_execution_that_runs_it_drops_it(journal: Journal) -> None:
    (one,) = pieces(1)
    filled(journal, one)
    journal.take(one.allocation_id, 1, "x1", ME)
    journal.drop(one.allocation_id, 1, "x2")
    journal.finish("x1")
    assert [entry.stage for entry in journal.entries()] == [FINISHED]
    journal.drop(one.allocation_id, 1, "x1")
    assert journal.entries() == []


def test_many_takers_get_each_piece_once(journal: Journal, tmp_path: Path) -> None:
    filled(journal, *pieces(*[1] * 40))

    def take_all(taker: int) -> list[str]:
        own = Journal(tmp_path / "journal.db")
        taken: list[str] = []
        while entry := own.take_next(QUEUE, f"x{taker}-{len(taken)}", 1, ME):
            taken.append(entry.allocation_id)
        return taken

    taken = together(*(lambda taker=taker: take_all(taker) for taker in range(4)))
    assert len(sorted(one for group in taken for one in group)) == 40
    assert len({one for group in taken for one in group}) == 40


def test_a_fork_gets_a_connection_of_its_own(journal: Journal, tmp_path: Path) -> None:
    (one, other) = pieces(1, 1)
    filled(journal, one)
    before = journal._database._connected()

    def fill() -> None:
        (tmp_path / "own").write_text(str(journal._database._connected() is not before))
        filled(journal, other)

    in_child(fill)
    assert (tmp_path / "own").read_text() == "True"
    assert len(journal.entries()) == 2
    journal.drop(one.allocation_id, 1)
    assert [entry.allocation_id for entry in Journal(tmp_path / "journal.db").entries()] == [
        other.allocation_id
    ]


def test_it_holds_no_secret_and_is_its_owners_only(journal: Journal, tmp_path: Path) -> None:
    filled(journal, *pieces(1))
    # Open, so that what SQLite keeps beside it is there too.
    beside = list(tmp_path.glob("journal.db*"))
    assert len(beside) == 3
    assert [path.name for path in beside if path.stat().st_mode & 0o077] == []


def test_a_journal_that_can_not_be_written_says_where_it_is(tmp_path: Path) -> None:
    (tmp_path / "journal.db").mkdir()
    with pytest.raises(Unavailable, match=r"journal\.db can't be used"):
        Journal(tmp_path / "journal.db").open_claim()


class Model(RuleBasedStateMachine):
    """Whatever the order of calls: no piece has two executions at a time, and nothing vanishes but by drop."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(os.environ.get("PYTEST_DEBUG_TEMPROOT", "/tmp")) / f"journal-{new_id()}"  # noqa: S108
        self.journal = Journal(self.folder / "journal.db")
        self.known: set[str] = set()
        self.running: dict[str, str] = {}
        self.count = 0

    def draw(self) -> str:
        self.count += 1
        return f"x{self.count}"

    @rule(sizes=st.lists(st.integers(1, 4), max_size=3), is_lost=st.booleans())
    def claim(self, sizes: list[int], is_lost: bool) -> None:
        claim_id, brought = self.journal.open_claim(), pieces(*sizes)
        if is_lost:
            assert self.journal.open_claim() == claim_id
            return
        self.journal.close_claim(claim_id, brought)
        self.known |= {one.allocation_id for one in brought}

    @rule(room=st.integers(1, 4))
    def take(self, room: int) -> None:
        entry = self.journal.take_next(QUEUE, self.draw(), room, ME)
        if entry is not None:
            assert entry.allocation_id not in self.running
            self.running[entry.allocation_id] = entry.execution

    @rule(data=st.data(), settles=st.booleans())
    def end(self, data: st.DataObject, settles: bool) -> None:
        if not self.running:
            return
        one = data.draw(st.sampled_from(sorted(self.running)))
        execution = self.running.pop(one)
        if settles:
            self.journal.drop(one, 1, execution)
            self.known.discard(one)
        else:
            self.journal.put_back(execution)

    @invariant()
    def it_knows_what_runs_and_what_waits(self) -> None:
        entries = {entry.allocation_id: entry for entry in self.journal.entries()}
        assert set(entries) == self.known
        assert {
            name: entry.execution for name, entry in entries.items() if entry.stage == BEGUN
        } == self.running

    def teardown(self) -> None:
        for path in self.folder.iterdir():
            path.unlink()
        self.folder.rmdir()


TestModel = Model.TestCase
TestModel.settings = settings(max_examples=15, stateful_step_count=20)
