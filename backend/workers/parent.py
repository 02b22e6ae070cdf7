"""The line to a child's parent: authenticated calls, each repeatable, tried again with backoff until patience ends."""

from __future__ import annotations

import email.utils
import json
import logging
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar

from pydantic import ValidationError

from backend.domain import wire
from backend.domain.errors import CredentialsRefused, ParentAway, ParentFailed, ParentRefused, WorkError
from backend.domain.ports import HttpClient, HttpRequest, HttpResponse
from backend.domain.reconnecting import Backoff

log = logging.getLogger(__name__)

PREFIX = "/api/v1/cascade"
ANSWER_SECONDS = 30.0
PATIENCE_SECONDS = 10.0
MOST_BYTES = 64 * 1024 * 1024
# After a refusal, so long nothing is sent with the same pair: a node that is switched on again is noticed then.
REFUSED_SECONDS = 60.0
COME_AGAIN = frozenset({408, 425, 429, 502, 503, 504})
REFUSED = frozenset({401, 403})
NOT_MODIFIED = 304

Body = TypeVar("Body")


@dataclass(frozen=True, slots=True)
class Pair:
    """A child's credentials."""

    api_key: str
    api_secret: str = field(repr=False)

    @property
    def header(self) -> str:
        """What goes into `Authorization`."""
        return f"AK-SK {self.api_key}:{self.api_secret}"


@dataclass(frozen=True, slots=True)
class Said:
    """What the parent answered: the envelope's data, `None` with `unchanged`; and its entity tag."""

    data: Any
    etag: str = ""
    unchanged: bool = False
    retry_after: float | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """One call. `body` goes out as JSON unless it is bytes; `seconds` limits one exchange, `patience` all its repetitions."""

    method: str
    path: str
    body: object = None
    headers: Mapping[str, str] = field(default_factory=dict)
    seconds: float = ANSWER_SECONDS
    patience: float = PATIENCE_SECONDS

    def request(self, url: str, pair: Pair | None) -> HttpRequest:
        """As it goes out."""
        is_bytes = isinstance(self.body, bytes)
        content = "application/octet-stream" if is_bytes else "application/json"
        headers = {"Accept": "application/json", "Accept-Encoding": "gzip", "User-Agent": "Cascade child"}
        if self.body is not None:
            headers["Content-Type"] = content
        if pair is not None:
            headers["Authorization"] = pair.header
        body = self.body if is_bytes or self.body is None else json.dumps(self.body).encode()
        return HttpRequest(
            self.method,
            f"{url.rstrip('/')}{PREFIX}{self.path}",
            headers | dict(self.headers),
            body,  # type: ignore[arg-type]
            seconds=self.seconds,
            max_bytes=MOST_BYTES,
            follow_redirects=False,
        )


@dataclass(slots=True)
class Parent:
    """Calls to the parent at `url`. `pair` is asked before every call, so that changed credentials count at once.

    `wait` returns `True` when nobody wants the answer any more. `speaks`: this is the process of the node that says aloud, once,
    that its credentials are refused.
    """

    url: str
    http: HttpClient
    pair: Callable[[], Pair | None]
    backoff: Backoff = field(default_factory=Backoff)
    wait: Callable[[float], object] = time.sleep
    clock: Callable[[], float] = time.monotonic
    roll: Callable[[], float] = random.random
    speaks: bool = False
    refused: CredentialsRefused | None = None
    _refused_pair: Pair | None = None
    _refused_until: float = 0.0

    def call(self, call: Call) -> Said:
        """Make the call, and again while that makes sense.

        Raises `ParentAway` when patience ends, `CredentialsRefused`, `ParentFailed` and `ParentRefused`.
        """
        end, failures = self.clock() + call.patience, 0
        while True:
            try:
                return self._once(call)
            except ParentAway as error:
                failures += 1
                pause = self.backoff.wait(failures, self.roll(), error.retry_after)
                if self.clock() + pause >= end or self.wait(pause) is True:
                    raise

    def _once(self, call: Call) -> Said:
        pair = self._usable_pair()
        try:
            response = self.http.send(call.request(self.url, pair))
        except WorkError as error:
            raise ParentAway(detail=error.sentence()) from error
        try:
            said = read_answer(response)
        except CredentialsRefused as error:
            if self.speaks and (self.refused is None or pair != self._refused_pair):
                log.error("ALARM: %s", error)  # noqa: TRY400  (its traceback says nothing more)
            self.refused, self._refused_pair = error, pair
            self._refused_until = self.clock() + REFUSED_SECONDS * (1 + self.roll())
            raise
        if self.refused is not None:
            log.log(
                logging.WARNING if self.speaks else logging.DEBUG,
                "the parent accepts this child's credentials again: it goes on",
            )
            self.refused = self._refused_pair = None
        return said

    def _usable_pair(self) -> Pair | None:
        """Raises `CredentialsRefused` again, without asking, while the refused pair is still the one."""
        pair = self.pair()
        if self.refused is not None and pair == self._refused_pair and self.clock() < self._refused_until:
            raise self.refused
        return pair


def understood(kind: type[Body], data: object) -> Body:
    """What the parent's answer says. Raises `ParentFailed` when this program can't read it: no thread may die of that."""
    try:
        return wire.from_plain(kind, data)
    except ValidationError as error:
        raise ParentFailed(
            "parent_unreadable", detail=f"{error.error_count()} fields of {kind.__name__}"
        ) from None


def read_answer(response: HttpResponse, at: datetime | None = None) -> Said:
    """What an HTTP answer says. Raises as `Parent.call`; `at`: the time now, for a `Retry-After` that is a date."""
    if response.status == NOT_MODIFIED:
        return Said(None, response.headers.get("etag", ""), unchanged=True)
    wish = retry_after(response.headers.get("retry-after", ""), at or datetime.now(UTC))
    envelope = _envelope(response.body)
    if response.status in COME_AGAIN:
        raise ParentAway(
            "parent_busy", retry_after=wish, status=response.status, detail=envelope.get("message", "")
        )
    if "code" not in envelope or "data" not in envelope:
        # A proxy, a captive portal, another program: nothing that it says is about our call.
        raise ParentAway("parent_strange", status=response.status, retry_after=wish)
    if response.status < 300:
        return Said(envelope["data"], response.headers.get("etag", ""), retry_after=wish)
    raise _refusal(response.status, envelope)


def _refusal(status: int, envelope: Mapping[str, Any]) -> CredentialsRefused | ParentFailed | ParentRefused:
    detail, data = str(envelope.get("message", "")), envelope.get("data")
    told: Mapping[str, Any] = data if isinstance(data, Mapping) else {}
    if status in REFUSED:
        return CredentialsRefused(detail=detail)
    if status >= 500:
        return ParentFailed(detail=detail)
    return ParentRefused(
        status=status,
        detail=detail,
        parent_status=status,
        parent_code=str(told.get("code") or told.get("error") or ""),
        standing=str(told.get("standing") or ""),
    )


def _envelope(body: bytes) -> Mapping[str, Any]:
    try:
        found = json.loads(body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def retry_after(text: str, at: datetime) -> float | None:
    """The seconds that a `Retry-After` header asks for: a number or an HTTP date."""
    try:
        return max(0.0, float(text))
    except ValueError:
        pass
    try:
        return max(0.0, (email.utils.parsedate_to_datetime(text) - at).total_seconds())
    except (ValueError, TypeError):
        return None
