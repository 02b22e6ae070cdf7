"""Text to an XML tree: strictly first, then with the repairs that messy feeds need most.

The trees come from the standard library's parser; no entity is ever declared or fetched.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from enum import Enum
from xml.etree.ElementTree import Element, ParseError, fromstring

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring as defused


class Format(Enum):
    """What the beginning of a document shows it to be."""

    EMPTY = "empty"
    JSON = "json"
    XML = "xml"
    HTML = "html"
    OTHER = "other"


_HEAD = 4096
# Every pattern here meets hostile megabytes: possessive quantifiers, and ends that unclosed things run to, keep
# them linear.
_DOCTYPE = r"""<!DOCTYPE[^<>\[]*+(?:\[(?:[^\]"']++|"[^"]*+"|'[^']*+')*+\]\s*+)?+>"""
_SKIPPED = re.compile(rf"(?s)\s++|<\?.*?\?>|<!--.*?-->|{_DOCTYPE}", re.IGNORECASE)
_FIRST_TAG = re.compile(r"<([A-Za-z_][\w.-]*:)?([A-Za-z_][\w.-]*)")
_FEED_START = re.compile(r"(?i)<(?:\?xml|rss|feed|rdf:RDF)\b")
_FEED_ROOTS = frozenset({"rss", "feed", "rdf", "channel"})


def route(text: str) -> Format:
    """Which reader a document needs, from its first characters alone."""
    head = text[:_HEAD].lstrip()
    if not head:
        return Format.EMPTY
    if head[0] in "{[":
        return Format.JSON
    root = root_name(head)
    if root in _FEED_ROOTS:
        return Format.XML
    if root in {"html", "head", "body"} or re.match(r"(?i)<!doctype\s+html", head):
        return Format.HTML
    return _route_unclear(head, root)


def _route_unclear(head: str, root: str) -> Format:
    # A feed may follow a warning that the server's program printed in front of it.
    if _FEED_START.search(head):
        return Format.XML
    if "<html" in head.lower():
        return Format.HTML
    return Format.XML if root else Format.OTHER


def root_name(text: str) -> str:
    """The first element's lower-case local name, or an empty text when the document starts with none."""
    found = _FIRST_TAG.match(text, _prolog_end(text))
    return found.group(2).lower() if found else ""


def _prolog_end(text: str) -> int:
    position = 0
    while match := _SKIPPED.match(text, position):
        position = match.end()
    return position


def strict_tree(text: str) -> Element | None:
    """The tree of a well-formed document, else `None`; one that declares entities counts as malformed."""
    try:
        if "<!DOCTYPE" not in text:
            # Entities are declared in a DOCTYPE only; without one the plain C parser is safe, and twice as fast.
            return fromstring(text)  # noqa: S314
        root: Element = defused(text, forbid_dtd=False, forbid_entities=True, forbid_external=True)
    except (ParseError, DefusedXmlException, ValueError):
        return None
    return root


def repaired(text: str) -> str:
    """The document with its usual faults repaired; a well-formed one stays what it means."""
    for repair in REPAIRS:
        text = repair(text)
    return text


_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff\ud800-\udfff]")
_BARE_AMPERSAND = re.compile(r"&(?!#\d{1,7};|#[xX][0-9a-fA-F]{1,6};|(?:amp|lt|gt|quot|apos);)(\w{2,31};)?")
_CDATA = re.compile(r"(?s)(<!\[CDATA\[.*?(?:\]\]>|\Z)|<!--.*?(?:-->|\Z))")


def _from_the_first_tag(text: str) -> str:
    start = _FEED_START.search(text, 0, 4 * _HEAD)
    return text[start.start() :] if start else text.lstrip()


def _without_prolog(text: str) -> str:
    # The text is decoded already, and declared entities are nothing that a feed needs.
    return text[_prolog_end(text) :]


def _without_forbidden_characters(text: str) -> str:
    return _FORBIDDEN.sub("", text)


def _with_sound_ampersands(text: str) -> str:
    parts = _CDATA.split(text)
    parts[::2] = [_BARE_AMPERSAND.sub(_ampersand, part) for part in parts[::2]]
    return "".join(parts)


def _ampersand(match: re.Match[str]) -> str:
    name = match.group(1) or ""
    character = html.unescape(f"&{name}") if name else ""
    if character and not character.startswith("&"):
        return character
    return f"&amp;{name}"


_PREFIX = re.compile(r"</?([A-Za-z_][\w.-]*):|\s([A-Za-z_][\w.-]*):[\w.-]+\s*=")
_ROOT_TAG = re.compile(r"<[A-Za-z_][\w:.-]*")
_NAMESPACES = {
    "content": "http://purl.org/rss/1.0/modules/content/",
    "dc": "http://purl.org/dc/elements/1.1/",
    "media": "http://search.yahoo.com/mrss/",
    "atom": "http://www.w3.org/2005/Atom",
    "itunes": "http://www.itunes.com/dtds/podcast-1.0.dtd",
    "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
}


def _with_declared_prefixes(text: str) -> str:
    bare = "".join(_CDATA.split(text)[::2])
    used = {first or second for first, second in _PREFIX.findall(bare)} - {"xml", "xmlns"}
    missing = sorted(prefix for prefix in used if f"xmlns:{prefix}" not in bare)
    root = _ROOT_TAG.search(text)
    if not missing or root is None:
        return text
    added = "".join(f' xmlns:{prefix}="{_NAMESPACES.get(prefix, f"urn:{prefix}")}"' for prefix in missing)
    return f"{text[: root.end()]}{added}{text[root.end() :]}"


_LAST_ENTRY = re.compile(r"(?s).*</(?:\w+:)?(?:item|entry)\s*>", re.IGNORECASE)
_CLOSERS = {"rss": "</channel></rss>", "feed": "</feed>", "rdf": "</rdf:RDF>"}


def broke_off(text: str) -> bool:
    """Whether the feed's last element never closes."""
    root = root_name(text)
    return root in _CLOSERS and not re.search(rf"(?i)</(?:rdf:)?{root}\s*>", text[-_HEAD:])


def _closed_after_the_last_entry(text: str) -> str:
    """A document that broke off ends after its last whole entry: half an entry would be stored under a wrong key."""
    return up_to_the_last_entry(text) if broke_off(text) else text


def up_to_the_last_entry(text: str) -> str:
    """The document with everything after its last whole entry replaced by the closing tags."""
    whole = _LAST_ENTRY.match(text)
    return whole.group() + _CLOSERS.get(root_name(text), "") if whole else text


REPAIRS: tuple[Callable[[str], str], ...] = (
    _from_the_first_tag,
    _without_prolog,
    _without_forbidden_characters,
    _with_sound_ampersands,
    _with_declared_prefixes,
    _closed_after_the_last_entry,
)
