"""The reference of settings is the program's own, and showing them shows no secret."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from backend.cli.main import cascade
from backend.cli.settings import page
from config import SETTINGS

ROOT = Path(__file__).resolve().parents[3]


def test_the_page_is_what_the_program_says() -> None:
    written = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    assert written == page() + "\n", "run: ./cascade settings --markdown > docs/configuration.md"


@pytest.mark.parametrize("setting", SETTINGS.values(), ids=SETTINGS)
def test_every_setting_says_what_it_is_for_and_what_is_allowed(setting: object) -> None:
    [line] = [one for one in page().splitlines() if one.startswith(f"| `{setting.environment}` |")]  # type: ignore[attr-defined]
    assert all(cell.strip() for cell in line.strip("|").split("|"))


def shown(folder: Path, *words: str, **environ: str) -> dict[str, dict[str, str]]:
    told = {"CASCADE_DATA_DIR": str(folder), **environ}
    done = CliRunner(env=told).invoke(cascade, ["settings", "--json", *words])
    assert done.exit_code == 0, done.output
    return {row["environment"]: row for row in json.loads(done.output)}


def test_values_come_with_the_place_where_they_stand(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("work:\n  lease_seconds: 60\n  item_attempts: 5\n", encoding="utf-8")
    rows = shown(tmp_path, CASCADE_ITEM_ATTEMPTS="7")
    assert (rows["CASCADE_LEASE_SECONDS"]["value"], rows["CASCADE_LEASE_SECONDS"]["stands_in"]) == (
        "60",
        str(file),
    )
    assert (rows["CASCADE_ITEM_ATTEMPTS"]["value"], rows["CASCADE_ITEM_ATTEMPTS"]["stands_in"]) == (
        "7",
        "environment",
    )
    assert rows["CASCADE_STOP_SECONDS"]["stands_in"] == "default"


def test_no_secret_is_shown(tmp_path: Path) -> None:
    rows = shown(
        tmp_path,
        CASCADE_SECRET_KEY="hidden-word-1",
        CASCADE_API_SECRET="hidden-word-4",
        DATABASE_URL="mysql+pymysql://cascade:hidden-word-2@127.0.0.1:3306/cascade",
        REDIS_URL="redis://:hidden-word-3@127.0.0.1:6379/0",
    )
    assert "hidden-word" not in json.dumps(rows)
    assert rows["DATABASE_URL"]["value"] == "127.0.0.1:3306/cascade"
    assert rows["CASCADE_SECRET_KEY"]["value"] == "(set)"
