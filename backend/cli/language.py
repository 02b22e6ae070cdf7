"""Which language the command line speaks, and its own sentences; those of errors are in `backend.domain.messages`."""

from __future__ import annotations

import os
from collections.abc import Mapping

from backend.cli.words import WORDS
from backend.domain.why import Why


def language(environ: Mapping[str, str] | None = None) -> str:
    """`zh` for a Chinese locale, else `en`; as POSIX orders it: LC_ALL, LC_MESSAGES, LANG."""
    environ = os.environ if environ is None else environ
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        locale = environ.get(name, "")
        if locale:
            return "zh" if locale.casefold().startswith("zh") else "en"
    return "en"


def spoken(why: Why | None) -> str:
    """The reason in the language of the person at the terminal; nothing where there is none."""
    return why.sentence(language()) if why else ""


def say(key: str, **values: object) -> str:
    """The sentence of `key` in the language of the person at the terminal."""
    english, chinese = WORDS[key]
    return (chinese if language() == "zh" else english).format(**values)
