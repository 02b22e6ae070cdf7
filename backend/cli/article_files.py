"""Articles as files of the person at the terminal, with the pictures that lie beside them."""

from __future__ import annotations

import base64
import mimetypes
from pathlib import Path

from backend.cli.language import say
from backend.cli.output import note
from backend.domain.errors import ConfigurationError, InvalidInput
from backend.domain.manuscripts import Written, read_manuscript, with_images

HTML = frozenset({".html", ".htm"})
PICTURES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})
MAX_PICTURE = 5 * 1024 * 1024


def read_article(file: Path) -> Written:
    """The article of a Markdown or HTML file, its pictures inside it.

    Says what it took along. Raises `InvalidInput` for what can't be published, `ConfigurationError` for a file that can't be read.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError("unreadable_file", path=file, detail=_words(error)) from error
    content_format = "html" if file.suffix.casefold() in HTML else "markdown"
    written = read_manuscript(text, content_format=content_format, name=file.stem)
    taken: dict[str, str] = {}

    def carry(target: str) -> str:
        if target not in taken:
            taken[target] = _picture(file.parent, target)
        return taken[target]

    manuscript = with_images(written.manuscript, carry)
    if taken:
        note(say("pictures_taken", count=len(taken), names=", ".join(taken)))
    if written.unknown:
        note(say("front_matter_unknown", names=", ".join(written.unknown)))
    return Written(manuscript, written.scheduled_at, written.unknown)


def _picture(folder: Path, target: str) -> str:
    """The picture as an address that holds it. Raises `InvalidInput`, which names it."""
    # What stands behind ? and # is for web servers.
    path = Path(target.partition("?")[0].partition("#")[0])
    if path.is_absolute():
        raise InvalidInput("picture_absolute", path=target)
    kind = mimetypes.guess_type(path.name)[0] or ""
    if kind not in PICTURES:
        raise InvalidInput("picture_kind", path=target)
    try:
        if (folder / path).stat().st_size > MAX_PICTURE:
            raise InvalidInput("picture_large", path=target, megabytes=MAX_PICTURE // 1024 // 1024)
        content = (folder / path).read_bytes()
    except OSError as error:
        raise InvalidInput("picture_unreadable", path=target, detail=_words(error)) from error
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def _words(error: OSError | UnicodeDecodeError) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
