"""How one value of the settings is read: parsers that say what is allowed, and the error that names a bad value."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

ORIGIN = re.compile(r"^https?://[a-z0-9.\-\[\]:]+$")


class SettingError(ValueError):
    """A setting that can't be used; its text names the setting, its place and what is allowed."""

    def __init__(self, name: str, place: str, detail: str) -> None:
        self.name, self.place, self.detail = name, place, detail
        super().__init__(f"{name} ({place}): {detail}")


@dataclass(frozen=True, slots=True)
class Parser:
    """Turns what stood in the environment or the file into a value; `allowed` says what may stand there."""

    convert: Callable[[object], Any]
    allowed: str

    def __call__(self, value: object) -> Any:
        """The value. Raises `ValueError` with what is wrong."""
        return self.convert(value)


def _clean(value: object) -> str:
    return str(value).strip()


text = Parser(_clean, "text")


def _number(value: object) -> float:
    if isinstance(value, bool):
        raise ValueError("must be a number")
    try:
        return float(str(value))
    except ValueError:
        raise ValueError(f"must be a number, not {value!r}") from None


def seconds(low: float, high: float) -> Parser:
    """A duration in seconds."""

    def convert(value: object) -> float:
        number = _number(value)
        if not low <= number <= high:
            raise ValueError(f"must be between {low:g} and {high:g} seconds, not {number:g}")
        return number

    return Parser(convert, f"{low:g} to {high:.0f} s")


def count(low: int, high: int) -> Parser:
    """A whole number."""

    def convert(value: object) -> int:
        number = _number(value)
        if number != int(number) or not low <= number <= high:
            raise ValueError(f"must be a whole number between {low} and {high}, not {value}")
        return int(number)

    return Parser(convert, f"{low} to {high}")


def choice(*allowed: str) -> Parser:
    """One of the words, whatever their case."""
    by_folded = {name.casefold(): name for name in allowed}

    def convert(value: object) -> str:
        found = by_folded.get(_clean(value).casefold())
        if found is None:
            raise ValueError(f"must be one of {', '.join(allowed)}, not {value!r}")
        return found

    return Parser(convert, ", ".join(allowed))


def _switch(value: object) -> bool:
    if isinstance(value, bool):
        return value
    folded = _clean(value).casefold()
    if folded in {"true", "yes", "on", "1"}:
        return True
    if folded in {"false", "no", "off", "0"}:
        return False
    raise ValueError(f"must be true or false, not {value!r}")


flag = Parser(_switch, "true, false")


def _parts(value: object) -> list[str]:
    return [
        _clean(part)
        for part in (value if isinstance(value, list) else _clean(value).replace(",", " ").split())
    ]


def _to_networks(value: object) -> tuple[str, ...]:
    try:
        return tuple(str(ipaddress.ip_network(part, strict=False)) for part in _parts(value))
    except ValueError as error:
        raise ValueError(f"must be a list of networks such as 127.0.0.0/8,10.1.0.0/16 ({error})") from None


networks = Parser(_to_networks, "networks, comma-separated")


def _to_origins(value: object) -> tuple[str, ...]:
    origins = tuple(part.rstrip("/").casefold() for part in _parts(value))
    for origin in origins:
        if origin != "*" and not ORIGIN.match(origin):
            raise ValueError("must be a list of origins such as https://admin.example.com, or *")
    return origins


origins = Parser(_to_origins, "origins, comma-separated, or *")
