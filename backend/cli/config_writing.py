"""Changes to the `cascade:` part of a `config.yaml` that somebody wrote by hand: what else stands in it stays, comments too."""

from __future__ import annotations

import json
import os
import re
import stat
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from backend.domain.errors import ConfigurationError
from config_values import yaml_trouble

SECTION = "cascade"
HEAD = re.compile(rf"^{SECTION}:\s*(#.*)?$")
KEY = re.compile(r"^(\s+)([A-Za-z_]+):")


def read_text(path: Path) -> str:
    """What stands in the file; nothing when there is none. Raises `ConfigurationError` when it can't be read as settings."""
    try:
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        content = yaml.safe_load(text) or {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigurationError("unreadable_file", path=path, detail=yaml_trouble(error)) from None
    if not isinstance(content, dict) or not isinstance(content.get(SECTION) or {}, dict):
        raise ConfigurationError(
            "unreadable_file", path=path, detail="it must be a mapping of names to values"
        )
    return text


def merged(text: str, told: Mapping[str, object], dropped: frozenset[str] = frozenset()) -> str:
    """The text with these settings under `cascade`, and without the dropped ones.

    Lines are changed one by one; a text in which that does not lead to the right settings is written anew.
    """
    before: dict[str, Any] = yaml.safe_load(text) or {}
    section = {name: value for name, value in (before.get(SECTION) or {}).items() if name not in dropped}
    wanted = before | {SECTION: section | dict(told)}
    edited = _edit(text, told, dropped)
    if _holds(edited, wanted):
        return edited
    readable = yaml.safe_dump(wanted, allow_unicode=True, sort_keys=False)
    return str(readable if _holds(readable, wanted) else yaml.safe_dump(wanted, sort_keys=False))


def _holds(text: str, wanted: Mapping[str, object]) -> bool:
    try:
        return bool(yaml.safe_load(text) == wanted)
    except yaml.YAMLError:
        return False


def _edit(text: str, told: Mapping[str, object], dropped: frozenset[str]) -> str:
    lines = text.rstrip("\n").split("\n") if text else []
    head = next((number for number, line in enumerate(lines) if HEAD.match(line)), None)
    if head is None:
        return "\n".join([*lines, f"{SECTION}:", *(_line("  ", one, told[one]) for one in told)]) + "\n"
    end = next((n for n in range(head + 1, len(lines)) if re.match(r"^[^\s#]", lines[n])), len(lines))
    body, left, indent = [], dict(told), ""
    for line in lines[head + 1 : end]:
        found = KEY.match(line)
        # Deeper keys belong to something else.
        name = found[2] if found and found[1] == (indent or found[1]) else ""
        indent = indent or (found[1] if found else "")
        if name in left:
            body.append(_line(indent, name, left.pop(name)))
        elif name not in dropped:
            body.append(line)
    fresh = [_line(indent or "  ", name, value) for name, value in left.items()]
    return "\n".join([*lines[: head + 1], *fresh, *body, *lines[end:]]) + "\n"


def _line(indent: str, name: str, value: object) -> str:
    # JSON's strings are YAML's too.
    return f"{indent}{name}: {json.dumps(value)}"


def check_writable(path: Path) -> None:
    """Raise `ConfigurationError` unless the file can be replaced: a token is spent only when its answer can be kept."""
    _replace(path, None)


def write(path: Path, text: str) -> None:
    """Replace the file in one step by one that only its owner can read. Raises `ConfigurationError`."""
    _replace(path, text)


def _replace(path: Path, text: str | None) -> None:
    # A link stays one: what it points to is replaced.
    path = path.resolve()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")  # made with 0600
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text or "")
                file.flush()
                os.fsync(file.fileno())
            if text is not None:
                Path(name).replace(path)
        finally:
            Path(name).unlink(missing_ok=True)
    except OSError as error:
        detail = error.strerror or str(error)
        raise ConfigurationError("config_unwritable", path=path, detail=detail) from error


def is_open_to_others(path: Path) -> bool:
    """Whether others than its owner can read it."""
    return bool(stat.S_IMODE(path.stat().st_mode) & (stat.S_IRWXG | stat.S_IRWXO))
