"""Languages and sentences of the command line."""

from __future__ import annotations

import string

import pytest

from backend.cli import nodes
from backend.cli.language import language
from backend.cli.main import COMMANDS, cascade, sentence_of
from backend.cli.words import WORDS
from backend.domain.errors import InvalidInput, NotFound


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, "en"),
        ({"LANG": "zh_CN.UTF-8"}, "zh"),
        ({"LANG": "de_DE.UTF-8"}, "en"),
        ({"LANG": "zh_TW", "LC_ALL": "C.UTF-8"}, "en"),
        ({"LANG": "C", "LC_MESSAGES": "zh_CN"}, "zh"),
        ({"LANG": "C", "LC_MESSAGES": "zh_CN", "LC_ALL": ""}, "zh"),
        ({"LANG": "en_US", "LC_ALL": "zh_HK"}, "zh"),
    ],
)
def test_the_locale_decides_the_language_in_the_order_of_posix(
    environ: dict[str, str], expected: str
) -> None:
    assert language(environ) == expected


@pytest.mark.parametrize("key", WORDS)
def test_both_languages_say_the_same(key: str) -> None:
    english, chinese = (
        {name for _, name, _, _ in string.Formatter().parse(text) if name} for text in WORDS[key]
    )
    assert english == chinese


def test_bad_fields_are_named_one_by_one() -> None:
    error = InvalidInput(fields={"url": InvalidInput("secret_in_url"), "name": "is required"})
    assert sentence_of(error, "en").startswith("url: The URL holds a user name or password")
    assert sentence_of(error, "en").endswith("; name: is required")


def test_an_error_without_fields_says_its_own_sentence() -> None:
    assert sentence_of(NotFound("no_such_user", name="zoe"), "zh").startswith("没有用户 zoe")


def test_every_command_of_the_list_can_be_imported() -> None:
    context = cascade.make_context("cascade", ["feed"])
    missing = [name for name in COMMANDS if cascade.get_command(context, name) is None]
    missing += [name for name in nodes.COMMANDS if nodes.node.get_command(context, name) is None]
    assert not missing
    assert cascade.get_command(context, "serve") is None
