"""The pictures of an article: where they are, what they are, and which of them nobody but their author can read."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes, urlsplit

from bs4 import Tag

from backend.domain.errors import CascadeError, InvalidInput, WorkError
from backend.domain.ports import Desk, HttpRequest

MAX_BYTES = 10 * 1024 * 1024
FETCH_SECONDS = 30.0
ENDINGS = {"image/png": "png", "image/jpeg": "jpg", "image/gif": "gif", "image/webp": "webp"}
DATA = re.compile(r"data:(image/[\w.+-]+)?((?:;[\w=.+-]+)*?)(;base64)?,", re.IGNORECASE)
MAGIC = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
)


def sources(root: Tag) -> tuple[str, ...]:
    """Where the article's pictures are, each once and in their order."""
    found = [str(image.get("src") or "").strip() for image in root.find_all("img")]
    return tuple(dict.fromkeys(filter(None, found)))


def addressless(root: Tag) -> tuple[str, ...]:
    """What pictures without an address are called: theirs was a path such as C:/a.png or file:///a.png, which sanitizing took away."""
    return tuple(
        str(image.get("alt") or "without a name") for image in root.find_all("img") if not image.get("src")
    )


def shown(source: str) -> str:
    """A picture's name for people: never a whole embedded one, and no query that may hold a token."""
    if source.startswith("data:"):
        return source[:24].partition(",")[0] + ",…"
    return source.partition("?")[0][:120]


def is_remote(source: str) -> bool:
    """Whether it has a complete address on the web; `//host/…` counts."""
    try:
        parts = urlsplit(source)
    except ValueError:
        return False
    return parts.scheme in {"http", "https", ""} and bool(parts.netloc)


def troubles(root: Tag, cover: str) -> list[CascadeError]:
    """Why some of the article's pictures, or its cover, can go nowhere."""
    found: list[CascadeError] = [InvalidInput("local_image", image=name) for name in addressless(root)]
    for source in ((cover,) if cover else ()) + sources(root):
        if source.startswith("data:"):
            why = _data_trouble(source)
            if why:
                found.append(InvalidInput("bad_data_image", why=why))
        elif not is_remote(source):
            found.append(InvalidInput("local_image", image=shown(source)))
    return found


def _data_trouble(source: str) -> str:
    content = embedded(source)
    if content is None:
        return "it can't be decoded"
    if len(content) > MAX_BYTES:
        return f"it is larger than {MAX_BYTES // 1024 // 1024} MB"
    return "" if kind_of(content) else "it is neither PNG, JPEG, GIF nor WebP"


def embedded(source: str) -> bytes | None:
    """The bytes of a `data:` picture, `None` when they can't be read."""
    head = DATA.match(source)
    if head is None:
        return None
    content = unquote_to_bytes(source[head.end() :])
    if not head.group(3):
        return content
    try:
        return base64.b64decode(re.sub(rb"\s", b"", content), validate=True)
    except (ValueError, binascii.Error):
        return None


def kind_of(content: bytes) -> str:
    """The media type, from the first bytes and not from anybody's word; empty for what is no picture."""
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "image/webp"
    return next((kind for magic, kind in MAGIC if content.startswith(magic)), "")


@dataclass(frozen=True, slots=True)
class Picture:
    """The bytes of a picture and their media type."""

    content: bytes
    kind: str

    @property
    def file_name(self) -> str:
        """A name that is the same for the same bytes, and no other."""
        return f"cascade-{hashlib.sha256(self.content).hexdigest()[:24]}.{ENDINGS[self.kind]}"


def read(source: str, desk: Desk, platform: str) -> Picture:
    """The picture, embedded or fetched by us. Raises `WorkError`."""
    content = (embedded(source) or b"") if source.startswith("data:") else _fetch(source, desk, platform)
    kind = kind_of(content)
    if not kind:
        raise unusable(source, platform, "it is neither PNG, JPEG, GIF nor WebP")
    return Picture(content, kind)


def _fetch(source: str, desk: Desk, platform: str) -> bytes:
    # No cookie goes along: this is somebody else's server.
    address = f"https:{source}" if source.startswith("//") else source
    seconds = max(1.0, min(FETCH_SECONDS, desk.seconds_left()))
    try:
        response = desk.http.send(HttpRequest("GET", address, seconds=seconds, max_bytes=MAX_BYTES))
    except WorkError as error:
        raise unusable(source, platform, str(error), permanent=error.permanent) from error
    if response.status != 200:
        # Its own server's trouble may pass; that it is not there does not.
        permanent = response.status < 500 and response.status != 429
        why = f"its server answers HTTP {response.status}"
        raise unusable(source, platform, why, permanent=permanent)
    return response.body


def unusable(source: str, platform: str, why: str, *, permanent: bool = True) -> WorkError:
    """A picture that can't be brought to the platform."""
    return WorkError("image_unusable", permanent=permanent, image=shown(source), platform=platform, why=why)
