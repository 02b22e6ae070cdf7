"""What a platform can never take of an article or of credentials, as people must hear it before anything is sent."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

from backend.domain.errors import CascadeError, InvalidInput
from backend.domain.publishing import Credentials, Manuscript
from backend.publishers import pictures
from backend.publishers.content import has_something, html_of, is_too_intricate, tree_of

NO_LIMIT = 0


def empty(platform: str, manuscript: Manuscript) -> tuple[CascadeError, ...]:
    """No title, nothing to show, or more than can be looked at."""
    found: list[CascadeError] = []
    if not manuscript.title.strip():
        found.append(InvalidInput("no_title", platform=platform))
    html = html_of(manuscript.content, manuscript.content_format)
    if is_too_intricate(html):
        found.append(InvalidInput("too_intricate", platform=platform))
    elif not has_something(html):
        found.append(InvalidInput("no_content", platform=platform))
    return tuple(found)


def unfit(
    platform: str, manuscript: Manuscript, max_title: int = NO_LIMIT, *, embedded: bool
) -> tuple[CascadeError, ...]:
    """No title or one too long, nothing to show, pictures that nobody can read or (unless `embedded`) that are no addresses."""
    found = list(empty(platform, manuscript))
    length = len(manuscript.title.strip())
    if max_title and length > max_title:
        found.append(InvalidInput("long_title", platform=platform, length=length, limit=max_title))
    html = html_of(manuscript.content, manuscript.content_format)
    if is_too_intricate(html):
        return tuple(found)
    root = tree_of(html)
    images = (manuscript.cover, *pictures.sources(root))
    if not embedded and any(one.startswith("data:") for one in images):
        found.append(InvalidInput("embedded_image", platform=platform))
    return (*found, *pictures.troubles(root, manuscript.cover))


def lacking(platform: str, credentials: Credentials, names: Sequence[str]) -> tuple[CascadeError, ...]:
    """Fields of the credentials that are missing, and an address that is none."""
    missing = [name for name in names if not credentials.fields.get(name)]
    if missing:
        return (InvalidInput("credential_missing", platform=platform, names=", ".join(missing)),)
    if "url" in names and not is_address(credentials.fields["url"]):
        return (InvalidInput("bad_publish_url", platform=platform),)
    return ()


def is_address(url: str) -> bool:
    """Whether it is a complete address on the web without a login in it."""
    try:
        parts = urlsplit(url.strip())
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.username is None
    except ValueError:
        return False
