"""`ETag`, `If-Match` and `If-None-Match`: no lost updates, and no list sent twice.

A versioned route declares `versioned=True`. Its GET returns `tagged(answer, version)`; its PUT calls
`require_match(version)` with the version of what stands, in the transaction that changes it or with what
that transaction compares again, and returns `tagged(answer, version)` of what it made. `version` is any plain data
that changes when the thing does: not what only looks different to different people, and no heartbeat.
"""

from __future__ import annotations

import json
from typing import TypeVar

from flask import Response, request

from backend.api.answers import Reply, plain
from backend.api.context import parts
from backend.domain.errors import CascadeError

T = TypeVar("T")

TAG_CHARACTERS = 32


class PreconditionFailed(CascadeError):
    """The thing is not what the caller saw."""

    default_code = "changed_meanwhile"
    status = 412


def tag_of(version: object) -> str:
    """A strong entity tag, without its quotes; it does not let secrets be guessed."""
    written = json.dumps(plain(version), sort_keys=True, default=str)
    return parts().cipher.fingerprint(written)[:TAG_CHARACTERS]


def tagged(answer: T, version: object) -> Reply[T]:
    """The answer with its tag; a GET with this tag in `If-None-Match` is answered 304."""
    return Reply(answer, headers={"ETag": f'"{tag_of(version)}"'})


def is_conditional() -> bool:
    """Whether this request names what it wants to change by tag."""
    return "If-Match" in request.headers


def require_match(version: object) -> None:
    """Hold `If-Match`; without one anything matches. Raises `PreconditionFailed`."""
    if is_conditional() and not request.if_match.contains(tag_of(version)):
        raise PreconditionFailed


def unchanged(version: object) -> Response | None:
    """The answer 304 when the caller has this version already, for a GET that would rather not make its own."""
    tag = tag_of(version)
    return Response(status=304, headers={"ETag": f'"{tag}"'}) if request.if_none_match.contains(tag) else None
