"""Signatures of what the parent sends to its own remote nodes: made by the parent, verified by the child. Pure.

The key is the SHA-256 of the node's secret in hex: the parent stores nothing else, the child derives it.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Collection, Mapping, Sequence

from backend.domain.errors import Unauthenticated

TIMESTAMP_HEADER = "X-Cascade-Timestamp"
SIGNATURE_HEADER = "X-Cascade-Signature"
SCHEME = "v1="
WINDOW_SECONDS = 300
MAX_SIGNATURES = 10


def sign(secret_hash: str, timestamp: int, body: bytes) -> str:
    """HMAC-SHA256 over the timestamp (Unix seconds in decimal), a line feed and the body, in hex."""
    message = str(timestamp).encode() + b"\n" + body
    return hmac.new(secret_hash.encode(), message, hashlib.sha256).hexdigest()


def signature_headers(secret_hashes: Sequence[str], timestamp: int, body: bytes) -> dict[str, str]:
    """The two headers of a request; one signature for each pair that is valid, so that a rotation breaks nothing."""
    signatures = [SCHEME + sign(one, timestamp, body) for one in secret_hashes[:MAX_SIGNATURES]]
    return {TIMESTAMP_HEADER: str(timestamp), SIGNATURE_HEADER: ",".join(signatures)}


def verify(
    headers: Mapping[str, str], body: bytes, *, secret_hash: str, now: float, seen: Collection[str] = ()
) -> str:
    """The signature that fits, to be remembered for the window: `seen` holds those of it, whose repeat is refused.

    `headers` has lower-case names, `now` is in Unix seconds. Raises `Unauthenticated` for a request that is not the
    parent's, older or newer than the window, or a repeat.
    """
    timestamp = _timestamp(headers.get(TIMESTAMP_HEADER.lower(), ""))
    if abs(now - timestamp) > WINDOW_SECONDS:
        raise Unauthenticated("stale_signature", seconds=WINDOW_SECONDS)
    expected = sign(secret_hash, timestamp, body)
    given = headers.get(SIGNATURE_HEADER.lower(), "").split(",")[:MAX_SIGNATURES]
    # Every one is looked at, so that the time it takes says nothing.
    fits = [hmac.compare_digest(one.strip().encode(), (SCHEME + expected).encode()) for one in given]
    if not any(fits):
        raise Unauthenticated("bad_signature")
    if expected in seen:
        raise Unauthenticated("repeated_signature")
    return expected


def _timestamp(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= 12):
        raise Unauthenticated("bad_signature")
    return int(text)
