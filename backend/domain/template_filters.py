"""What templates may call: Jinja2's filters behind an allow-list, with bounded ones where the original can blow up."""

from __future__ import annotations

import functools
import html
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from backend.domain import markup
from backend.domain.metering import percent, spending

MAX_ARGUMENT = 1000
MAX_PATH = 100
_ALLOWED = frozenset(
    [
        "abs",
        "batch",
        "capitalize",
        "d",
        "default",
        "dictsort",
        "filesizeformat",
        "first",
        "float",
        "groupby",
        "int",
        "items",
        "last",
        "length",
        "count",
        "list",
        "lower",
        "map",
        "max",
        "min",
        "reject",
        "rejectattr",
        "reverse",
        "round",
        "select",
        "selectattr",
        "slice",
        "sort",
        "string",
        "title",
        "trim",
        "truncate",
        "unique",
        "upper",
        "urlencode",
        "wordcount",
    ]
)
# They look at the outside of a value only; weighing its inside would punish `articles|length` in a loop.
_SHALLOW = frozenset({"length", "count", "first", "last", "default", "d"})
# Tests that look at the outside only.
_OUTSIDE = frozenset({"defined", "undefined", "none"})
# They read or write every character: how many of them cost one step. Elsewhere text is only compared or passed on.
_CHARACTERS = dict.fromkeys(
    ["capitalize", "lower", "reverse", "string", "trim", "truncate", "upper", "urlencode", "wordcount"], 8
)
_CHARACTERS["title"] = 1


class EscapedText(str):
    """The inner part of a JSON string, as WeRSS puts `content` into web hooks; `plain` is what it stands for."""

    __slots__ = ("plain",)
    plain: str

    @classmethod
    def of(cls, plain: str) -> EscapedText:
        """Escape `plain`."""
        text = cls(json.dumps(plain, ensure_ascii=False)[1:-1])
        text.plain = plain
        return text


def join(parts: Iterable[object], separator: str = "", attribute: str | None = None) -> str:
    """All parts as one text; `attribute` names the key to take from each."""
    values = [_text(_keyed(part, attribute)) for part in parts]
    purse = spending()
    purse.spend(len(values))
    purse.make_text(sum(map(len, values)) + len(separator) * len(values))
    return str(separator).join(values)


def _keyed(part: object, attribute: str | None) -> object:
    return part.get(attribute) if attribute is not None and isinstance(part, Mapping) else part


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    purse = spending()
    purse.make_text(purse.weigh(value))
    return "" if value is None else str(value)


def replace(text: object, old: str, new: str, count: int = -1) -> str:
    """`text` with `old` replaced by `new`."""
    plain = _text(text)
    times = plain.count(old) if count is None or count < 0 else min(count, plain.count(old))
    spending().make_text(len(plain) + times * len(new))
    return plain.replace(old, new, -1 if count is None else count)


def indent(text: object, width: int = 4, first: bool = False) -> str:
    """Every line but (unless `first`) the first one moved to the right."""
    lines = _text(text).split("\n")
    spending().make_text(len(lines) * (max(0, width) + 1) + sum(map(len, lines)))
    pad = " " * width
    return (pad if first else "") + ("\n" + pad).join(lines)


def to_json(value: object, indent: int | None = None) -> str:
    """`value` as JSON, quotes included."""
    purse = spending()
    purse.make_text(purse.weigh(value) * 2)
    spaces = None if indent is None else min(max(indent, 0), 8)
    return json.dumps(_plain(value), ensure_ascii=False, indent=spaces, default=_text)


def _plain(value: object) -> object:
    if isinstance(value, EscapedText):
        return value.plain
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, list | tuple) else value


def strip_tags(text: object) -> str:
    """The text of an HTML fragment, on one line."""
    plain = _text(text)
    spending().make_text(len(plain))
    return " ".join(markup.plain_text(plain).split())


def escape(text: object) -> str:
    """HTML-escaped."""
    plain = _text(text)
    spending().make_text(len(plain) * 2)
    return html.escape(plain)


def total(values: Iterable[Any], attribute: str | None = None, start: float = 0) -> float:
    """The sum of numbers; `attribute` names the key to take from each."""
    numbers: list[Any] = [_keyed(value, attribute) for value in values]
    spending().spend(len(numbers))
    if not all(isinstance(number, int | float) for number in (*numbers, start)):
        raise TypeError("sum adds numbers only")
    return sum(numbers, start)


def formatted(text: str, *values: object, **named: object) -> object:
    """`text % values`."""
    return percent(text, named or values)


def unchanged(value: object) -> object:
    """Nothing is escaped here, so there is nothing to mark as safe."""
    return value


# What they make grows with a number that they are given.
_COUNTED = frozenset({"batch", "slice", "round", "indent"})
# They look up an attribute path in every item.
_SELECTING = frozenset(["groupby", "map", "max", "min", "rejectattr", "selectattr", "sort", "sum", "unique"])
_OWN: dict[str, Callable[..., object]] = {
    "join": join,
    "replace": replace,
    "indent": indent,
    "tojson": to_json,
    "json_encode": to_json,
    "striptags": strip_tags,
    "escape": escape,
    "e": escape,
    "sum": total,
    "format": formatted,
    "safe": unchanged,
}


def metered_filters(original: Mapping[str, Callable[..., Any]]) -> dict[str, Callable[..., Any]]:
    """The filters that templates may use, each paying for its work."""
    chosen = {name: original[name] for name in _ALLOWED} | _OWN
    return {name: _metered(name, function) for name, function in chosen.items()}


def metered_tests(original: Mapping[str, Callable[..., Any]]) -> dict[str, Callable[..., Any]]:
    """Jinja2's tests, each paying for what it compares."""
    return {name: _metered("default" if name in _OUTSIDE else name, test) for name, test in original.items()}


def _metered(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    # Jinja2 puts its context before the piped value of functions that ask for it.
    options = 1 + hasattr(function, "jinja_pass_arg")
    characters = _CHARACTERS.get(name, 256)

    @functools.wraps(function)
    def run(*arguments: Any, **named: Any) -> Any:
        purse = spending()
        purse.spend(4)
        if name in _SHALLOW:
            return function(*arguments, **named)
        _check_options(name, (*arguments[options:], *named.values()))
        operands = (*arguments[options - 1 :], *named.values())
        purse.spend(sum(map(purse.weigh, operands)) / characters)
        result = function(*arguments, **named)
        purse.spend(purse.weigh(result) / 256)
        return result

    return run


def _check_options(name: str, options: tuple[object, ...]) -> None:
    """Raises `ValueError` for options that multiply work without weighing much."""
    if name in _COUNTED and any(isinstance(each, int) and abs(each) > MAX_ARGUMENT for each in options):
        raise ValueError(f"a number given to {name!r} is larger than {MAX_ARGUMENT}")
    if name in _SELECTING and any(isinstance(each, str) and len(each) > MAX_PATH for each in options):
        raise ValueError(f"a text given to {name!r} is longer than {MAX_PATH} characters")
