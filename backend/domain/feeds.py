"""What may become a feed: the rules for its address, kind and name."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit, urlunsplit

from backend.domain.errors import CascadeError, InvalidInput
from backend.domain.identifiers import digest, new_id

# WeChat official accounts (公众号): WeRSS children collect these.
WECHAT = "wechat"
MAX_URL = 2048
MAX_NAME = 255
DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class FeedDraft:
    """A feed to add, checked; its id is drawn before the transaction, so that a repeated commit adds one."""

    id: str
    kind: str
    name: str
    url: str
    faker_id: str = ""
    cover: str = ""
    intro: str = ""

    @property
    def url_hash(self) -> str:
        """What keeps one feed from being added twice."""
        return url_hash(self.kind, self.url)


def url_hash(kind: str, url: str) -> str:
    """The key of a feed: the same kind and address are the same feed."""
    return digest(kind, url)


def draft_feed(url: str, *, kind: str, name: str = "", known_kinds: Collection[str]) -> FeedDraft:
    """A feed to add; without a name it is called by its host. Raises `InvalidInput` naming every bad field."""
    troubles: dict[str, CascadeError] = {}
    checked_url = ""
    try:
        checked_url = check_url(url)
    except InvalidInput as error:
        troubles["url"] = error
    if kind not in known_kinds:
        troubles["kind"] = InvalidInput(
            "unknown_feed_kind", kind=kind, existing=", ".join(sorted(known_kinds))
        )
    if troubles:
        raise InvalidInput(fields=troubles)
    return FeedDraft(new_id(), kind, clean_name(name) or clean_name(host_of(checked_url)), checked_url)


def check_url(url: str) -> str:
    """The address in its one normal form. Raises `InvalidInput`."""
    text = _without_feed_scheme(url.strip())
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise _bad_url(url) from None
    # urlsplit drops line breaks and tabs silently; an address that holds them is a mistake to show.
    if any(letter.isspace() or not letter.isprintable() for letter in text):
        raise _bad_url(url)
    if parts.scheme not in DEFAULT_PORTS or not parts.hostname:
        raise _bad_url(url)
    if parts.username is not None or parts.password is not None:
        raise InvalidInput("secret_in_url")
    normal = urlunsplit((parts.scheme, _authority(parts, port), parts.path or "/", parts.query, ""))
    if len(normal) > MAX_URL:
        raise _bad_url(url)
    return normal


def host_of(url: str) -> str:
    """The host, as the name of last resort."""
    return urlsplit(url).hostname or url


def clean_name(name: str) -> str:
    """The name on one line, cut to what the store holds."""
    return " ".join(name.split())[:MAX_NAME]


def _without_feed_scheme(url: str) -> str:
    # Browsers and readers hand over feed:https://… and feed://host/…
    folded = url.casefold()
    if folded.startswith(("feed:http://", "feed:https://")):
        return url[len("feed:") :]
    return f"http://{url[len('feed://') :]}" if folded.startswith("feed://") else url


def _authority(parts: SplitResult, port: int | None) -> str:
    host = (parts.hostname or "").casefold()
    host = f"[{host}]" if ":" in host else host
    return host if port is None or port == DEFAULT_PORTS[parts.scheme] else f"{host}:{port}"


def _bad_url(url: str) -> InvalidInput:
    return InvalidInput("bad_feed_url", url=url[:200])
