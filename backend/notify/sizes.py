"""How much a robot takes: bodies cut on a character boundary, by the bytes that its service counts."""

from __future__ import annotations

import json
from dataclasses import dataclass

from backend.domain.receivers import Kind

ELLIPSIS = "…"
MAX_TITLE = 100


@dataclass(frozen=True, slots=True)
class Allowance:
    """Bytes of UTF-8 that a message may have; `frame` of them go to what surrounds title and body.

    `as_json`: counted as they stand in JSON, where line breaks and quotes take two. `titles`: how often the title
    is sent.
    """

    size: int
    frame: int = 0
    as_json: bool = True
    titles: int = 1


ALLOWANCES = {
    Kind.DINGTALK: Allowance(20_000, frame=400, titles=2),
    Kind.FEISHU: Allowance(20 * 1024, frame=500),
    Kind.WECOM: Allowance(4096, as_json=False, titles=0),
    Kind.BARK: Allowance(4096, frame=400),
}


def fit(kind: Kind, title: str, body: str) -> tuple[str, str, str]:
    """Title, body and a warning (empty when nothing had to go)."""
    short = title if len(title) <= MAX_TITLE else title[: MAX_TITLE - 1] + ELLIPSIS
    allowance = ALLOWANCES.get(kind)
    if allowance is None:
        return short, body, ""
    room = allowance.size - allowance.frame - allowance.titles * _size(short, allowance.as_json)
    cut = cut_to(body, room, as_json=allowance.as_json)
    if cut == body:
        return short, body, ""
    return short, cut, f"truncated: {kind} takes {allowance.size} bytes; the end of the message was left out"


def cut_to(text: str, size: int, *, as_json: bool = False) -> str:
    """The longest beginning of `text` that fits into `size` bytes, an ellipsis at its end if anything is missing."""
    if _size(text, as_json) <= size:
        return text
    low, high = 0, min(len(text), size)
    room = size - _size(ELLIPSIS, as_json)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if _size(text[:middle], as_json) <= room else (low, middle - 1)
    return text[:low].rstrip() + ELLIPSIS


def _size(text: str, as_json: bool) -> int:
    written = json.dumps(text, ensure_ascii=False)[1:-1] if as_json else text
    return len(written.encode("utf-8", "replace"))
