"""What the parts of the running system are told, and when they are stopped."""

from __future__ import annotations

from pathlib import Path

import pytest

import config
from backend.cli.parts import environment_of
from backend.cli.stages import stop_limits
from backend.cli.starting import url_of
from backend.cli.system import Size, recipes

SETTINGS = config.load(
    {
        "DATABASE_URL": "mysql+pymysql://cascade:database-secret@db/cascade",
        "REDIS_URL": "redis://:redis-secret@redis:6379/0",
        "CASCADE_SECRET_KEY": "key-secret",
        "CASCADE_PORT": "8123",
        "LOG_LEVEL": "WARNING",
    },
    data_dir=Path("/data"),
)


def test_everything_stops_within_ten_seconds_and_workers_have_their_whole_time() -> None:
    workers, parent, redis = stop_limits(8.0)
    assert 8.0 <= workers < parent < redis < 10.0


def test_no_secret_is_on_a_command_line() -> None:
    made = recipes(SETTINGS, Size(2, 3, 20), {"CASCADE_ADMIN_PASSWORD": "admin-secret"})
    told = " ".join(word for recipe in made for word in recipe.command)
    assert "secret" not in told
    assert "secret" not in repr(made)


def test_the_parts_are_told_where_to_work_and_nothing_about_the_admin() -> None:
    told = environment_of(SETTINGS, {"PATH": "/bin", "CASCADE_ADMIN_PASSWORD": "admin-secret"})
    assert told["DATABASE_URL"] == SETTINGS.database_url
    assert told["REDIS_URL"] == SETTINGS.redis_url
    assert (told["CASCADE_DATA_DIR"], told["CASCADE_PORT"], told["LOG_LEVEL"]) == ("/data", "8123", "WARNING")
    assert told["PATH"] == "/bin"
    assert "admin-secret" not in told.values()


@pytest.mark.parametrize("nodes", [0, 1, 3])
def test_there_is_one_part_for_each_node_beside_parent_beat_and_workers(nodes: int) -> None:
    made = recipes(SETTINGS, Size(nodes, 3, 20), {})
    assert [recipe.name for recipe in made] == [
        "parent",
        "beat",
        "workers",
        *(f"node-{n + 1}" for n in range(nodes)),
    ]
    started_by_script = [recipe for recipe in made if recipe.command[1].endswith("start_workers.sh")]
    assert len(started_by_script) == nodes + 1
    assert all(recipe.command[2:4] == ["--workers", "3"] for recipe in started_by_script)


def test_the_parent_is_stopped_after_everybody_who_works() -> None:
    stages = {recipe.name: recipe.stage for recipe in recipes(SETTINGS, Size(1, 1, 1), {})}
    assert stages["parent"] > max(stages[name] for name in ("beat", "workers", "node-1"))


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:8001"),
        ("0.0.0.0", "http://127.0.0.1:8001"),
        ("::", "http://[::1]:8001"),
        ("::1", "http://[::1]:8001"),
        ("cascade.example", "http://cascade.example:8001"),
    ],
)
def test_the_ready_line_names_an_address_that_can_be_opened_here(host: str, url: str) -> None:
    assert url_of(host, 8001) == url
