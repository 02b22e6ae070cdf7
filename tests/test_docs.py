"""What the documents point at exists: files, commands, settings; both READMEs tell the same."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from backend.cli.main import cascade
from config import SETTINGS

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
COMMAND = re.compile(r"\./cascade((?: +[a-z][a-z0-9-]*)+)")
VARIABLE = re.compile(r"\b(?:CASCADE|GUNICORN)_[A-Z_]+\b")
# Read by the launcher and the tests, before there are settings.
OTHER_VARIABLES = {"CASCADE_EXTRAS", "CASCADE_DATA_DIR", "CASCADE_CONFIG", "CASCADE_ADMIN_PASSWORD"}


def named(page: Path) -> str:
    """The page as a test's name."""
    return page.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_link_leads_somewhere(page: Path) -> None:
    targets = [target for target in LINK.findall(page.read_text(encoding="utf-8")) if "://" not in target]
    assert [target for target in targets if not (page.parent / target).exists()] == []


def unknown_words(words: list[str]) -> list[str]:
    """The words of a command line that no command has; what follows a whole command are its arguments."""
    command: click.Command = cascade
    for position, word in enumerate(words):
        if not isinstance(command, click.Group):
            return []
        found = command.get_command(click.Context(command), word)
        if found is None:
            return words[position:]
        command = found
    return []


def commands(page: Path) -> Iterator[str]:
    """Each `./cascade …` of the page, up to its first option or argument."""
    for line in page.read_text(encoding="utf-8").splitlines():
        for words in COMMAND.findall(line):
            yield words.strip()


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_command_that_a_page_names_exists(page: Path) -> None:
    assert [words for words in commands(page) if unknown_words(words.split()) and "|" not in words] == []


def test_a_command_that_does_not_exist_would_be_found() -> None:
    assert unknown_words(["feed", "polish"]) == ["polish"]
    assert unknown_words(["dispatch", "now"]) == []


@pytest.mark.parametrize("page", [one for one in PAGES if one.name != "CONTRIBUTING.md"], ids=named)
def test_every_variable_that_a_page_names_exists(page: Path) -> None:
    known = {setting.environment for setting in SETTINGS.values()} | OTHER_VARIABLES
    for example in (ROOT / "examples").glob("*.py"):
        known |= set(VARIABLE.findall(example.read_text(encoding="utf-8")))
    assert sorted(set(VARIABLE.findall(page.read_text(encoding="utf-8"))) - known) == []


def test_both_readmes_show_the_same_commands() -> None:
    english, chinese = (
        (ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "README.zh-CN.md")
    )
    blocks = [re.findall(r"```sh\n(.*?)```", text, re.DOTALL) for text in (english, chinese)]
    without_remarks = [
        [re.sub(r" *#.*", "", line) for block in found for line in block.splitlines()] for found in blocks
    ]
    assert without_remarks[0] == without_remarks[1]
