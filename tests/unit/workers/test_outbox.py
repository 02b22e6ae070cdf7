"""The outbox: what is in it survives, stays secret, keeps its order, and one bad entry blocks nothing."""

from __future__ import annotations

import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymysql import err
from sqlalchemy.exc import DBAPIError

from backend.domain.orders import (
    ArticleDraft,
    Failure,
    FetchResult,
    ItemOutcome,
    Outcome,
    Receipt,
)
from backend.domain.ports import Standing
from backend.store.cipher import Cipher
from backend.workers.outbox import Outbox
from tests.unit.workers.fakes import NOW, FakeLedger

SECRET = "what nobody may read"


@pytest.fixture
def outbox(tmp_path: Path) -> Outbox:
    """An empty one."""
    return Outbox(tmp_path / "outbox", Cipher("a key for tests only"))


def outcome(allocation: str = "a", title: str = SECRET) -> Outcome:
    """An outcome with all that it can hold."""
    article = ArticleDraft("k", title, "https://example.com/1", published_at=NOW)
    return Outcome(
        allocation,
        1,
        "x",
        "update",
        items=(
            ItemOutcome("i1", "f1", result=FetchResult((article,), etag='"e"')),
            ItemOutcome("i2", "f2", failure=Failure("http_status", "500", retry_after=3.5)),
        ),
        receipts=(Receipt("d1", 200, "ok"),),
        handed_back=("i3",),
    )


def test_an_outcome_comes_out_as_it_went_in(outbox: Outbox) -> None:
    outbox.put(outcome(), final=True)
    ledger = FakeLedger()
    assert outbox.drain(ledger) == 1
    assert ledger.settled == [outcome()]
    assert outbox.entries() == []


def test_only_its_owner_can_open_it_and_nobody_can_read_it(outbox: Outbox) -> None:
    path = outbox.put(outcome(), final=True)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(outbox.directory.stat().st_mode) == 0o700
    assert SECRET.encode() not in path.read_bytes()
    assert [one.name for one in outbox.directory.iterdir()] == [path.name]


def test_the_file_and_its_name_are_on_the_disk_before_it_counts(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    real = os.fsync

    def record(descriptor: int) -> None:
        synced.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        real(descriptor)

    monkeypatch.setattr(os, "fsync", record)
    path = outbox.put(outcome(), final=True)
    assert synced == [f".{path.name}", "outbox"]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=8))
def test_each_allocation_s_entries_keep_their_order(
    tmp_path_factory: pytest.TempPathFactory, entries: list[tuple[str, bool]]
) -> None:
    outbox = Outbox(tmp_path_factory.mktemp("outbox"), Cipher("a key for tests only"))
    for number, (allocation, final) in enumerate(entries):
        outbox.put(outcome(allocation, str(number)), final=final)
    ledger = FakeLedger()
    assert outbox.drain(ledger) == len(entries)
    finals = [str(number) for number, (_, final) in enumerate(entries) if final]
    partials = [str(number) for number, (_, final) in enumerate(entries) if not final]
    assert [title_of(one) for one in ledger.settled] == finals
    assert [title_of(one) for one in ledger.checkpoints if isinstance(one, Outcome)] == partials


def title_of(one: Outcome) -> str:
    """Which entry it was."""
    result = one.items[0].result
    assert result is not None
    return result.articles[0].title


def test_draining_stops_when_the_database_is_away_and_keeps_everything(outbox: Outbox) -> None:
    for name in "abc":
        outbox.put(outcome(name), final=True)
    before = outbox.entries()
    ledger = FakeLedger(away={"settle"})
    assert outbox.drain(ledger) == 0
    assert outbox.entries() == before
    ledger.away = set()
    assert outbox.drain(ledger) == 3
    assert [one.allocation_id for one in ledger.settled] == ["a", "b", "c"]


def test_what_was_settled_before_the_database_went_is_gone_from_it(outbox: Outbox) -> None:
    outbox.put(outcome("a"), final=True)
    outbox.put(outcome("b"), final=False)
    ledger = FakeLedger(away={"checkpoint"})
    assert outbox.drain(ledger) == 1
    assert [path.name.split(".")[1] for path in outbox.entries()] == ["b"]


def spoil(outbox: Outbox, how: str) -> Path:
    """An entry that nobody can use."""
    path = outbox.put(outcome("bad"), final=True)
    if how == "not ours":
        path.write_text(Cipher("another key").encrypt("{}"))
    elif how == "not an outcome":
        path.write_text(outbox.cipher.encrypt('{"what": "ever"}'))
    else:
        path.write_bytes(b"\xff\x00")
    return path


@pytest.mark.parametrize("how", ["not ours", "not an outcome", "bytes"])
def test_an_unreadable_entry_goes_to_the_dead_letters_with_an_alarm(
    outbox: Outbox, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = spoil(outbox, how)
    outbox.put(outcome("good"), final=True)
    ledger = FakeLedger()
    assert outbox.drain(ledger) == 2
    assert [one.allocation_id for one in ledger.settled] == ["good"]
    assert (outbox.directory / "dead" / path.name).is_file()
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert "ALARM" in caplog.text
    assert path.name in caplog.text


def test_an_entry_that_the_database_can_t_take_blocks_nothing(
    outbox: Outbox, caplog: pytest.LogCaptureFixture
) -> None:
    path = outbox.put(outcome("bad"), final=True)
    ledger = FakeLedger(errors={"settle": ValueError(SECRET)})
    assert outbox.drain(ledger) == 1
    assert (outbox.directory / "dead" / path.name).is_file()
    assert "ALARM" in caplog.text
    assert SECRET not in caplog.text


def database_error(number: int) -> DBAPIError:
    told = err.OperationalError(number, "as the server says it")
    return DBAPIError.instance("X", None, told, err.Error, hide_parameters=True)  # type: ignore[return-value]


def test_after_an_error_that_nobody_foresaw_it_stays_with_its_allocation_and_the_others_go_on(
    outbox: Outbox, caplog: pytest.LogCaptureFixture
) -> None:
    for name, final in (("a", False), ("b", True), ("a", True)):
        outbox.put(outcome(name), final=final)
    waiting = outbox.entries()
    ledger = FakeLedger(errors={"checkpoint": database_error(4_000)})
    assert [outbox.drain(ledger) for _ in range(3)] == [1, 0, 0]
    assert [one.allocation_id for one in ledger.settled] == ["b"]
    assert outbox.entries() == [waiting[0], waiting[2]]
    assert caplog.text.count("stays") == 1
    assert outbox.drain(FakeLedger()) == 2


def test_what_can_never_be_stored_goes_to_the_dead_letters(outbox: Outbox) -> None:
    path = outbox.put(outcome(), final=True)
    assert outbox.drain(FakeLedger(errors={"settle": database_error(1153)})) == 1
    assert (outbox.directory / "dead" / path.name).is_file()


def test_an_outcome_that_is_refused_goes_to_the_dead_letters(
    outbox: Outbox, caplog: pytest.LogCaptureFixture
) -> None:
    path = outbox.put(outcome(), final=True)
    outbox.put(replace(outcome(), handed_back=()), final=False)
    assert outbox.drain(FakeLedger(standing=Standing.SUPERSEDED)) == 2
    assert [one.name for one in (outbox.directory / "dead").iterdir()] == [path.name]
    assert "ALARM" in caplog.text


def test_what_a_crash_left_half_written_is_not_taken_for_an_entry(outbox: Outbox) -> None:
    path = outbox.put(outcome(), final=True)
    path.rename(path.with_name(f".{path.name}"))
    assert outbox.entries() == []
    assert outbox.drain(FakeLedger()) == 0


def test_two_that_drain_at_once_settle_each_entry_once_and_bury_none(outbox: Outbox) -> None:
    """A node that is started again while its earlier start still stops."""
    outbox.put(outcome(), final=True)
    other = Outbox(outbox.directory, outbox.cipher)

    class Meeting(FakeLedger):
        def settle(self, outcome: Outcome) -> Standing:
            assert other.drain(self) == 0
            return super().settle(outcome)

    ledger = Meeting()
    assert outbox.drain(ledger) == 1
    assert (len(ledger.settled), outbox.report().dead, outbox.entries()) == (1, 0, [])


@pytest.mark.parametrize("standing", [Standing.HELD, Standing.SUPERSEDED])
def test_an_entry_that_its_own_worker_has_settled_meanwhile_is_no_dead_letter(
    outbox: Outbox, standing: Standing
) -> None:
    paths = [outbox.put(outcome(name), final=True) for name in "ab"]

    class Overtaken(FakeLedger):
        def settle(self, outcome: Outcome) -> Standing:
            for path in paths:
                path.unlink(missing_ok=True)
            return super().settle(outcome)

    ledger = Overtaken(standing=standing)
    outbox.drain(ledger)
    assert ([one.allocation_id for one in ledger.settled], outbox.report().dead) == (["a"], 0)
