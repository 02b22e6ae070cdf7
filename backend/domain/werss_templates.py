"""How a message template of WeRSS would come out differently here.

WeRSS has a template language of its own that looks like Jinja2; ours is Jinja2. What is looked at is the template's
text alone: each construct that means something else here is a difference, blank lines are only a remark.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from backend.domain.why import Why

PIECE = re.compile(r"(\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\})", re.DOTALL)
PATH = re.compile(r"[A-Za-z_]\w*(?:\.\w+)*")
LITERAL = re.compile(r"'[^']*'|\"[^\"]*\"|-?\d+(?:\.\d+)?")
OPERATOR = re.compile(r"[<>=!+*/%~-]|\b(?:and|or|in|not|is|if)\b")
LOOP = re.compile(r"for\s+(\w+)\s+in\s+(.+)", re.DOTALL)
ALL_OR_SOME = re.compile(r"articles(?:\[\d*:\d*\])?")
SETTING = re.compile(r"set\s+\w+\s*=\s*(.+)", re.DOTALL)
AT_AN_END = re.compile(r"(?:not\s+)?loop\.(?:first|last)")
BLANK_LINE = re.compile(r"\n[ \t]*\n")
CLOSERS = {"endfor": "{% endfor %}", "endif": "{% endif %}", "else": "{% else %}"}

# What templates see here (`rendering`); other fields of WeRSS's tables would come out empty.
FIELDS = {
    "article": frozenset(
        [
            "id",
            "mp_id",
            "title",
            "pic_url",
            "url",
            "description",
            "publish_time",
            "created_at",
            "content",
            "content_html",
            "content_markdown",
        ]
    ),
    "feed": frozenset(["id", "mp_name", "mp_cover", "mp_intro"]),
    "task": frozenset(["id", "name", "message_type"]),
    "loop": frozenset(["index", "index0", "first", "last", "length"]),
}


@dataclass(frozen=True, slots=True)
class Comparison:
    """`differences` change what a message says; `remarks` change blank lines or depend on WeRSS's settings."""

    differences: tuple[Why, ...]
    remarks: tuple[Why, ...]


@dataclass
class _Reading:
    """How far a template was read: the open blocks, the loop's variable and where its body began."""

    template: str
    blocks: list[str] = field(default_factory=list)
    variable: str = ""
    body_from: int = 0
    differences: dict[str, Why] = field(default_factory=dict)
    blank_lines: bool = False

    def differs(self, code: str, at: int, shown: str) -> None:
        """Note the first place of each kind of difference."""
        line = self.template.count("\n", 0, at) + 1
        self.differences.setdefault(code, Why(code, {"line": line, "shown": " ".join(shown.split())[:80]}))

    @property
    def in_loop(self) -> bool:
        """Whether a loop is open."""
        return "for" in self.blocks


def compare_template(template: str) -> Comparison:
    """What of a WeRSS template would come out differently in Jinja2; nothing for an empty one (the default)."""
    reading = _Reading(template)
    for piece in PIECE.finditer(template):
        inner = piece[0][2:-2]
        if piece[0].startswith("{#"):
            reading.differs("werss_template_comment", piece.start(), piece[0])
        elif inner[:1] in {"-", "+"} or inner[-1:] in {"-", "+"}:
            reading.differs("werss_template_trim", piece.start(), piece[0])
        elif piece[0].startswith("{{"):
            _expression(reading, piece, inner.strip())
        else:
            _tag(reading, piece, inner.strip())
    text_alone = PIECE.sub(lambda piece: "" if piece[0].startswith("{%") else "x", template)
    remarks = []
    if reading.blank_lines or BLANK_LINE.search(text_alone):
        remarks.append(Why("werss_template_blank_lines"))
    if "content" in template.casefold():
        remarks.append(Why("werss_template_content"))
    return Comparison(tuple(reading.differences.values()), tuple(remarks))


def _expression(reading: _Reading, piece: re.Match[str], text: str) -> None:
    for sign, code in (
        ("=", "werss_template_calculation"),
        ("|", "werss_template_filter"),
        ("(", "werss_template_call"),
        ("[", "werss_template_index"),
    ):
        if text.startswith(sign) or (sign != "=" and sign in text):
            reading.differs(code, piece.start(), piece[0])
            return
    for part in re.split(r"\s+or\s+", text):
        if PATH.fullmatch(part):
            _path(reading, piece, part, shown=True)
        elif not LITERAL.fullmatch(part):
            reading.differs("werss_template_expression", piece.start(), piece[0])


def _path(reading: _Reading, piece: re.Match[str], path: str, *, shown: bool) -> None:
    root, _, rest = path.partition(".")
    noun = "article" if reading.in_loop and root == reading.variable else root
    if noun not in FIELDS and noun != "articles":
        return
    if not rest:
        if shown:
            reading.differs("werss_template_whole", piece.start(), piece[0])
    elif noun == "articles" or rest.partition(".")[0] not in FIELDS[noun]:
        reading.differs("werss_template_field", piece.start(), piece[0])


def _tag(reading: _Reading, piece: re.Match[str], text: str) -> None:
    word = re.match(r"\w*", text)
    name = word[0] if word else ""
    if name in CLOSERS and piece[0] != CLOSERS[name]:
        reading.differs("werss_template_spacing", piece.start(), piece[0])
    if name == "for":
        _open_loop(reading, piece, text)
    elif name == "if":
        _open_condition(reading, piece, text[2:].strip())
    elif name in {"endfor", "endif"}:
        _close(reading, piece, name.removeprefix("end"))
    elif name == "else":
        if reading.in_loop and reading.blocks[-1] == "if":
            reading.differs("werss_template_if_in_loop", piece.start(), piece[0])
    elif name == "set":
        _set(reading, piece, text)
    elif name == "elif":
        reading.differs("werss_template_elif", piece.start(), piece[0])
    else:
        reading.differs("werss_template_tag", piece.start(), piece[0])


def _open_loop(reading: _Reading, piece: re.Match[str], text: str) -> None:
    found = LOOP.fullmatch(text)
    if found is None or not ALL_OR_SOME.fullmatch(found[2].strip()):
        reading.differs("werss_template_loop", piece.start(), piece[0])
    if reading.in_loop:
        reading.differs("werss_template_nested_loop", piece.start(), piece[0])
    elif found is not None:
        reading.variable, reading.body_from = found[1], piece.end()
    reading.blocks.append("for")


def _close(reading: _Reading, piece: re.Match[str], block: str) -> None:
    if not reading.blocks or reading.blocks.pop() != block:
        reading.differs("werss_template_unbalanced", piece.start(), piece[0])
        return
    if block == "for" and not reading.in_loop:
        # WeRSS puts a line break between two rounds and makes one of several; here rounds follow as they are written.
        body = reading.template[reading.body_from : piece.start()]
        breaks = _breaks(body[: len(body) - len(body.lstrip())]) + _breaks(body[len(body.rstrip()) :])
        if not breaks:
            reading.differs("werss_template_joined", piece.start(), piece[0])
        reading.blank_lines |= breaks > 1


def _breaks(space: str) -> int:
    return space.count("\n")


def _open_condition(reading: _Reading, piece: re.Match[str], condition: str) -> None:
    if "(" in condition:
        reading.differs("werss_template_call", piece.start(), piece[0])
    elif "|" in condition:
        reading.differs("werss_template_filter", piece.start(), piece[0])
    elif reading.in_loop and not AT_AN_END.fullmatch(condition):
        reading.differs("werss_template_if_in_loop", piece.start(), piece[0])
    elif PATH.fullmatch(condition):
        _path(reading, piece, condition, shown=False)
    elif (not reading.in_loop and "." in condition and OPERATOR.search(condition)) or re.search(
        r"\bis\b", condition
    ):
        reading.differs("werss_template_condition", piece.start(), piece[0])
    reading.blocks.append("if")


def _set(reading: _Reading, piece: re.Match[str], text: str) -> None:
    found = SETTING.fullmatch(text)
    if found is None or reading.in_loop:
        reading.differs("werss_template_set", piece.start(), piece[0])
    else:
        _expression(reading, piece, found[1].strip())
