"""Every command that the page for people from WeRSS names exists, with the options that it shows."""

from __future__ import annotations

import re
import shlex

import click
import pytest

from backend.cli.main import cascade
from config import ROOT

PAGE = (ROOT / "docs" / "moving-from-werss.md").read_text(encoding="utf-8")
LINES = sorted({line.strip() for line in re.findall(r"\./cascade ([^`\n]*)", PAGE)})


def resolved(words: list[str]) -> click.Command:
    """The command that the words name."""
    command: click.Command = cascade
    for word in words:
        if not isinstance(command, click.Group):
            break
        found = command.get_command(click.Context(command), word)
        assert found is not None, word
        command = found
    return command


@pytest.mark.parametrize("line", LINES)
def test_a_named_command_exists_with_its_options(line: str) -> None:
    words = [word.strip("[]") for word in shlex.split(line)]
    command = resolved([word for word in words if not word.startswith("-")])
    known = {name for parameter in command.params for name in parameter.opts}
    assert {word for word in words if word.startswith("-")} <= known


def test_the_page_names_what_the_seeds_commands_became() -> None:
    assert {"init", "node list", "check", "status", "dispatch"} <= {
        line.split("`")[0].strip() for line in LINES
    }
