"""The `cascade` command on a data directory of its own, in this process."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from backend.cli.main import cascade

# What the machine's own environment says must not decide a test.
BLANK = ("DATABASE_URL", "REDIS_URL", "CASCADE_CONFIG", "CASCADE_SECRET_KEY", "LANG", "LC_ALL", "LC_MESSAGES")


@dataclass
class Cascade:
    """Runs commands on a data directory. `environment` is added to theirs."""

    data_dir: Path
    environment: dict[str, str] = field(default_factory=dict)

    def run(self, *words: str, input: str | None = None) -> Result:  # noqa: A002  (click's name)
        """Run a command; whatever it ends with."""
        told = dict.fromkeys(BLANK) | {"CASCADE_DATA_DIR": str(self.data_dir)} | self.environment
        result = CliRunner().invoke(cascade, words, input=input, env=told)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result

    def ok(self, *words: str, input: str | None = None) -> str:  # noqa: A002
        """Run a command that must succeed; the last line of its stdout."""
        result = self.run(*words, input=input)
        assert result.exit_code == 0, result.output
        return result.stdout.splitlines()[-1] if result.stdout else ""

    def rows(self, *words: str) -> list[dict[str, Any]]:
        """Run a command that lists, with `--json`."""
        listed: list[dict[str, Any]] = json.loads(self.ok(*words, "--json"))
        return listed

    def refusal(self, *words: str, code: int = 2, input: str | None = None) -> str:  # noqa: A002
        """Run a command that must be refused; its one sentence."""
        result = self.run(*words, input=input)
        assert result.exit_code == code, result.output
        sentences = [line for line in result.stderr.splitlines() if line.startswith("cascade: ")]
        assert len(sentences) == 1, result.stderr
        assert "Traceback" not in result.output
        return sentences[0]


@pytest.fixture
def cli(tmp_path: Path) -> Iterator[Cascade]:
    """The command on an empty data directory."""
    yield Cascade(tmp_path / "var")
