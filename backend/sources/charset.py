"""Bytes to text: what a feed is really encoded in, whatever it and its server say.

Valid UTF-8 with characters beyond ASCII is UTF-8: text in another encoding is practically never valid by chance.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator

import charset_normalizer

# Supersets: pages that say gb2312 or iso-8859-1 use characters that only the supersets have.
_SUPERSETS = {
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "hz": "hz",
    "big5": "big5hkscs",
    "iso8859-1": "cp1252",
    "ascii": "cp1252",
    "shift_jis": "cp932",
    "euc_kr": "cp949",
    "iso8859-9": "cp1254",
}
_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_DECLARED = re.compile(rb"""<\?xml[^>]{0,200}?encoding\s*=\s*["']([\w.:-]{1,40})["']""")
_META = re.compile(rb"""(?i)<meta[^>]{0,200}?charset\s*=\s*["']?([\w.:-]{1,40})""")
_HEADER = re.compile(r"""(?i)charset\s*=\s*["']?([\w.:-]{1,40})""")
_SINGLE_BYTE = re.compile(r"^(cp125\d|iso8859|latin|koi8|mac|tis)")
# The Latin charsets can't be told from one another in a short text; the usual one is the better guess.
_TELLABLE = frozenset(
    {
        "gb18030",
        "big5hkscs",
        "cp932",
        "euc_jp",
        "cp949",
        "cp1251",
        "koi8-r",
        "cp1253",
        "cp1255",
        "cp1256",
        "tis-620",
    }
)
_SAMPLE = 32 * 1024
# Both standards keep the usual characters apart from the rare ones: in these first bytes.
_USUAL_CHINESE = (("gb18030", "gb2312", 0xB0, 0xD7), ("big5hkscs", "big5", 0xA4, 0xC6))


def decode(data: bytes, content_type: str = "") -> str:
    """The text of a feed. Never fails: what can't be read becomes U+FFFD."""
    for bom, encoding in _BOMS:
        if data.startswith(bom):
            return data[len(bom) :].decode(encoding, "replace")
    utf8 = _as_utf8(data)
    if utf8 is not None:
        return utf8
    for encoding in _candidates(data, content_type):
        text = _mostly(data, encoding)
        if text is not None:
            return text
    return data.decode("cp1252", "replace")


def _as_utf8(data: bytes) -> str | None:
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        text = data.decode("utf-8", "replace")
        return text if _is_readable(text) else None
    # Seven-bit encodings look like ASCII, and UTF-16 without a mark is full of NULs.
    seven_bit = text.isascii() and (b"\x1b$" in data or b"~{" in data)
    return None if seven_bit or "\x00" in text[:200] else text


def _candidates(data: bytes, content_type: str) -> Iterator[str]:
    yield from _utf16_without_mark(data)
    declared = _known(_first(_DECLARED, data[:1024]) or _first(_META, data[:4096]))
    header = _known("".join(_HEADER.findall(content_type)[:1]))
    several = [name for name in (declared, header) if name and not _SINGLE_BYTE.match(name)]
    yield from several
    if declared and not several:
        yield declared
    yield from _guess(data)
    # Servers send a Latin charset by default, so it is the weakest word of all.
    yield from (name for name in (header,) if name)


def _utf16_without_mark(data: bytes) -> Iterator[str]:
    if data[:4:2] == b"\x00\x00":
        yield "utf-16-be"
    if data[1:4:2] == b"\x00\x00":
        yield "utf-16-le"


def _first(pattern: re.Pattern[bytes], data: bytes) -> str:
    match = pattern.search(data)
    return match.group(1).decode("ascii", "replace") if match else ""


def _known(name: str) -> str:
    try:
        found = codecs.lookup(name).name
    except LookupError:
        return ""
    return "" if found in {"utf-8", "utf-16", "utf-32"} else _SUPERSETS.get(found, found)


def _mostly(data: bytes, encoding: str) -> str | None:
    try:
        text = data.decode(encoding, "replace")
    except (LookupError, UnicodeError, AssertionError):
        # "base64" and the like are codecs too, but none that makes text of bytes.
        return None
    return text if _is_readable(text) else None


def _is_readable(text: str) -> bool:
    """Whether nearly every character beyond ASCII could be read."""
    bad = text.count("\ufffd")
    if not bad:
        return True
    # One or two bytes more than characters for each one beyond ASCII: counting them so is fifty times faster.
    beyond = (len(text.encode("utf-8", "replace")) - len(text)) / 2
    return bad * 20 <= beyond


def _guess(data: bytes) -> Iterator[str]:
    chinese = _chinese(data)
    if chinese:
        yield chinese
        return
    best = charset_normalizer.from_bytes(data[:_SAMPLE]).best()
    found = _known(best.encoding) if best else ""
    if found in _TELLABLE:
        yield found


def _chinese(data: bytes) -> str:
    """GB18030 or Big5 when the bytes make common Chinese; short texts are beyond a statistical guess."""
    best, best_share = "", 0.8
    for encoding, plain_encoding, first, last in _USUAL_CHINESE:
        text = data[:_SAMPLE].decode(encoding, "ignore")
        beyond = [character for character in text if character > "\x7f"]
        usual = sum(_is_usual(character, plain_encoding, first, last) for character in beyond)
        share = usual / len(beyond) if len(beyond) > 3 else 0.0
        if share > best_share:
            best, best_share = encoding, share
    return best


def _is_usual(character: str, encoding: str, first: int, last: int) -> bool:
    if "\u3000" <= character <= "\u303f" or "\uff00" <= character <= "\uffef":
        return True
    try:
        raw = character.encode(encoding)
    except UnicodeEncodeError:
        return False
    return len(raw) == 2 and first <= raw[0] <= last
