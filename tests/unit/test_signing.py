"""Signatures of notifications: only the parent of this node makes them, for a while, once."""

from __future__ import annotations

import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domain.errors import Unauthenticated
from backend.domain.signing import WINDOW_SECONDS, sign, signature_headers, verify

SECRET_HASH = hashlib.sha256(b"CSsecret").hexdigest()
OTHER_HASH = hashlib.sha256(b"CSother").hexdigest()
NOW = 1_700_000_000
BODY = b'{"type": "ping"}'


def arriving(secret_hashes: list[str], body: bytes = BODY, at: int = NOW) -> dict[str, str]:
    """The headers as a server hands them over."""
    return {name.lower(): value for name, value in signature_headers(secret_hashes, at, body).items()}


def refusal(headers: dict[str, str], body: bytes = BODY, now: float = NOW, seen: tuple[str, ...] = ()) -> str:
    with pytest.raises(Unauthenticated) as refused:
        verify(headers, body, secret_hash=SECRET_HASH, now=now, seen=seen)
    return refused.value.code


def test_the_signature_is_what_the_documentation_says() -> None:
    expected = hmac.new(SECRET_HASH.encode(), b"1700000000\n" + BODY, hashlib.sha256).hexdigest()
    assert signature_headers([SECRET_HASH], NOW, BODY) == {
        "X-Cascade-Timestamp": "1700000000",
        "X-Cascade-Signature": f"v1={expected}",
    }


@given(st.binary(max_size=200), st.integers(0, 10**11), st.floats(-WINDOW_SECONDS, WINDOW_SECONDS))
def test_what_the_parent_signs_the_child_accepts_within_the_window(
    body: bytes, at: int, drift: float
) -> None:
    headers = arriving([SECRET_HASH], body, at)
    assert verify(headers, body, secret_hash=SECRET_HASH, now=at + drift) == sign(SECRET_HASH, at, body)


@given(st.binary(max_size=50), st.binary(max_size=50), st.integers(0, 10**11), st.integers(0, 10**11))
def test_another_body_or_timestamp_has_another_signature(
    body: bytes, other: bytes, at: int, later: int
) -> None:
    same = (body, at) == (other, later)
    assert (sign(SECRET_HASH, at, body) == sign(SECRET_HASH, later, other)) == same


def test_while_a_rotation_is_in_its_grace_either_secret_fits() -> None:
    both = arriving([OTHER_HASH, SECRET_HASH])
    for secret_hash in (OTHER_HASH, SECRET_HASH):
        assert verify(both, BODY, secret_hash=secret_hash, now=NOW) == sign(secret_hash, NOW, BODY)


def test_somebody_elses_or_a_changed_request_is_refused() -> None:
    good = arriving([SECRET_HASH])
    assert refusal(arriving([OTHER_HASH])) == "bad_signature"
    assert refusal(good, body=BODY + b" ") == "bad_signature"
    assert refusal(good | {"x-cascade-timestamp": str(NOW + 1)}) == "bad_signature"
    assert refusal({}) == "bad_signature"
    assert refusal(arriving([])) == "bad_signature"
    assert refusal(good | {"x-cascade-signature": "v1=é"}) == "bad_signature"


@pytest.mark.parametrize("timestamp", ["", "-1", "soon", "1e9", "١٧", "9" * 13])
def test_a_timestamp_that_is_no_number_is_refused(timestamp: str) -> None:
    assert refusal(arriving([SECRET_HASH]) | {"x-cascade-timestamp": timestamp}) == "bad_signature"


def test_an_old_request_and_a_repeated_one_are_refused() -> None:
    headers = arriving([SECRET_HASH])
    assert refusal(headers, now=NOW + WINDOW_SECONDS + 1) == "stale_signature"
    assert refusal(headers, now=NOW - WINDOW_SECONDS - 1) == "stale_signature"
    first = verify(headers, BODY, secret_hash=SECRET_HASH, now=NOW)
    assert refusal(headers, now=NOW + 1, seen=(first,)) == "repeated_signature"
