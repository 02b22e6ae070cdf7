"""Pure decisions about where a request goes, and where a redirect leads it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urljoin

from urllib3.exceptions import LocationParseError
from urllib3.util import Url, make_headers, parse_url

from backend.domain.errors import WorkError

REDIRECTS = frozenset({301, 302, 303, 307, 308})
PERMANENT = frozenset({301, 308})
MAX_REDIRECTS = 10

_CREDENTIALS = frozenset({"authorization", "proxy-authorization", "cookie", "cookie2", "host"})
_SECRET_PARTS = ("token", "key", "secret", "auth", "sign", "password", "session", "credential")
_BODY_HEADERS = frozenset({"content-type", "content-length", "content-encoding", "transfer-encoding"})


@dataclass(frozen=True, slots=True)
class Hop:
    """One request of a chain."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes | None


def parse_target(text: str) -> Url:
    """The URL, normalised. Raises `WorkError` (bad_url, permanent) for what can't be fetched."""
    try:
        url = parse_url(text.strip())
    except (LocationParseError, ValueError):
        raise WorkError("bad_url", permanent=True) from None
    if url.scheme not in {"http", "https"} or not url.host:
        raise WorkError("bad_url", permanent=True)
    return url


def sendable(hop: Hop, url: Url, defaults: Mapping[str, str]) -> dict[str, str]:
    """The headers to send: the hop's over the defaults, and the URL's user as basic authorization."""
    given = {name.lower() for name in hop.headers}
    headers = {name: value for name, value in defaults.items() if name.lower() not in given}
    if url.auth and "authorization" not in given:
        headers.update(make_headers(basic_auth=url.auth))
    return headers | dict(hop.headers)


def follow(hop: Hop, status: int, location: str) -> Hop:
    """The next request of the chain. Raises `WorkError` (bad_url)."""
    old = parse_target(hop.url)
    target = urljoin(hop.url, location.strip())
    new = parse_target(target)
    headers = dict(hop.headers)
    if _origin(old) != _origin(new):
        headers = {name: value for name, value in headers.items() if not is_secret(name)}
    elif old.auth and not new.auth:
        target = new._replace(auth=old.auth).url
    method, body = hop.method, hop.body
    if (status == 303 and method != "HEAD") or (status in {301, 302} and method == "POST"):
        method, body = "GET", None
        headers = {name: value for name, value in headers.items() if name.lower() not in _BODY_HEADERS}
    return Hop(method, target, headers, body)


def is_secret(header: str) -> bool:
    """Whether a header may carry a credential, and so must not reach another origin."""
    name = header.lower()
    return name in _CREDENTIALS or any(part in name for part in _SECRET_PARTS)


def _origin(url: Url) -> tuple[str, str, int]:
    return url.scheme or "", url.host or "", url.port or (443 if url.scheme == "https" else 80)
