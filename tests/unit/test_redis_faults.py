"""What an error of Redis means, and what the log hears of an outage."""

from __future__ import annotations

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    ExecAbortError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)
from redis.exceptions import ConnectionError as RedisConnectionError

from backend.dispatch.broker import fault_of
from backend.dispatch.patience import CALM_SECONDS, STILL_SECONDS, Outage, RedisPatience
from backend.domain.redis_faults import REPLIES, FaultKind, fault_of_reply, fault_of_silence

ERRORS: list[tuple[RedisError, str, FaultKind]] = [
    (ReadOnlyError("You can't write", status_code="READONLY"), "redis_fault_read_only", FaultKind.AWAY),
    (
        ExecAbortError("Transaction discarded because of: READONLY You can't write", status_code="EXECABORT"),
        "redis_fault_read_only",
        FaultKind.AWAY,
    ),
    (
        ExecAbortError("Transaction discarded because of previous errors.", status_code="EXECABORT"),
        "redis_fault_unknown",
        FaultKind.BUG,
    ),
    (ResponseError("UNBLOCKED force unblock, state changed"), "redis_fault_read_only", FaultKind.AWAY),
    (ResponseError("MISCONF Redis is configured to save"), "redis_fault_disk", FaultKind.AWAY),
    (ResponseError("BUSY Redis is busy running a script"), "redis_fault_busy", FaultKind.AWAY),
    (ResponseError("NOREPLICAS Not enough good replicas"), "redis_fault_failover", FaultKind.AWAY),
    (BusyLoadingError("Redis is loading", status_code="LOADING"), "redis_fault_loading", FaultKind.AWAY),
    (RedisConnectionError("max number of clients reached"), "redis_fault_clients", FaultKind.AWAY),
    (RedisConnectionError("Connection refused"), "redis_fault_silent", FaultKind.AWAY),
    (
        AuthenticationError("invalid", status_code="WRONGPASS"),
        "redis_fault_password",
        FaultKind.CONFIGURATION,
    ),
    (
        RedisConnectionError("[SSL: CERTIFICATE_VERIFY_FAILED]"),
        "redis_fault_certificate",
        FaultKind.CONFIGURATION,
    ),
    (ResponseError("WRONGTYPE Operation against a key"), "redis_fault_unknown", FaultKind.BUG),
    (RedisError("nobody knows"), "redis_fault_unknown", FaultKind.BUG),
]


@pytest.mark.parametrize(
    ("error", "code", "kind"), ERRORS, ids=[one[1] + str(i) for i, one in enumerate(ERRORS)]
)
def test_each_error_is_told_by_its_own_sentence(error: RedisError, code: str, kind: FaultKind) -> None:
    fault = fault_of(error)
    assert (fault.code, fault.kind, fault.passes) == (code, kind, kind is not FaultKind.BUG)
    assert str(error).removeprefix("redis_") in fault.sentence() or fault.detail in fault.sentence("zh")


@given(st.sampled_from(sorted(REPLIES)), st.text())
def test_what_a_command_said_inside_a_script_counts(word: str, text: str) -> None:
    old = f"Error running script (call to f_1): @user_script:1: -{word} not now"
    assert fault_of_reply("ERR", old).code == fault_of_reply(word, text).code


@given(st.text())
def test_silence_never_counts_as_a_bug(text: str) -> None:
    assert fault_of_silence(text).passes


def test_an_outage_is_said_once_and_its_end_only_when_it_stays_well(caplog: pytest.LogCaptureFixture) -> None:
    now = [0.0]
    outage = Outage(clock=lambda: now[0])
    with caplog.at_level(logging.WARNING):
        for _ in range(1000):
            now[0] += 0.1
            outage.failed(RedisConnectionError("refused"))
            # A read that succeeds between refused writes is no end.
            outage.answered()
        assert len(caplog.records) == 1
        now[0] += CALM_SECONDS
        outage.answered()
        outage.answered()
        assert [one.getMessage() for one in caplog.records][1:] == ["Redis answers again after 104 s"]
        outage.failed(RedisConnectionError("refused"))
        now[0] += STILL_SECONDS
        outage.failed(RedisConnectionError("refused"))
    assert len(caplog.records) == 4


def test_the_tries_of_a_connection_inside_those_of_its_command_do_not_multiply() -> None:
    patience, tries = RedisPatience(2, says=False), []

    def connect() -> None:
        tries.append("connection")
        raise RedisConnectionError("refused")

    def command() -> None:
        tries.append("command")
        patience.call_with_retry(connect, lambda _error: None)

    with pytest.raises(RedisConnectionError):
        patience.call_with_retry(command, lambda _error: None)
    assert tries == ["command", "connection"] * 3
