"""A child names everything that is wrong with its settings, with the place to mend it, before anything starts."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from backend.cli.child_settings import is_plain, require_child, troubles, warn_if_plain
from backend.domain.errors import ConfigurationError
from config import Settings, load

WHOLE = {
    "CASCADE_ENABLED": "true",
    "CASCADE_NODE_TYPE": "child",
    "CASCADE_PARENT_URL": "https://parent.example",
    "CASCADE_API_KEY": "CN0123456789abcdef",
    "CASCADE_API_SECRET": "CSfedcba9876543210",
}


def told(folder: Path, **changes: str) -> Settings:
    """The settings of a child, whole but for the changes."""
    return load(WHOLE | changes, data_dir=folder)


def test_whole_settings_are_taken(tmp_path: Path) -> None:
    assert require_child(told(tmp_path)).api_key == WHOLE["CASCADE_API_KEY"]


@pytest.mark.parametrize("name", WHOLE)
def test_each_missing_setting_is_named_with_its_file_and_its_variable(name: str, tmp_path: Path) -> None:
    [trouble] = troubles(told(tmp_path, **{name: ""}))
    assert name in trouble
    assert str(tmp_path / "config.yaml") in trouble
    assert "cascade." in trouble


def test_all_troubles_are_told_at_once_and_no_secret_with_them(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(
        "cascade: {enabled: true, api_secret: 'CS hidden:word', ca_file: /no}\n"
    )
    with pytest.raises(ConfigurationError) as refused:
        require_child(
            load({"CASCADE_PARENT_URL": "ftp://x", "CASCADE_API_KEY": "CNxxxxx"}, data_dir=tmp_path)
        )
    said = str(refused.value)
    for name in ("node_type", "parent_api_url", "api_key", "api_secret", "ca_file"):
        assert f"cascade.{name}:" in said
    assert len(said.splitlines()) == 6
    assert "hidden" not in said


@pytest.mark.parametrize(
    ("url", "plain"),
    [
        ("http://parent.example", True),
        ("http://10.1.2.3:8001", True),
        ("https://parent.example", False),
        ("http://127.0.0.1:8001", False),
        ("http://localhost:8001", False),
        ("http://[::1]:8001", False),
    ],
)
def test_only_plain_http_to_another_machine_is_warned_of(
    url: str, plain: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert is_plain(url) is plain
    with caplog.at_level(logging.WARNING):
        warn_if_plain(told(tmp_path, CASCADE_PARENT_URL=url))
    assert ("plain http" in caplog.text) is plain


def test_an_http_server_is_only_wanted_with_a_callback_url_or_a_port(tmp_path: Path) -> None:
    assert told(tmp_path).listens_on == 0
    assert told(tmp_path, CASCADE_CALLBACK_URL="http://c").listens_on == 8001
    assert told(tmp_path, CASCADE_CALLBACK_URL="http://c", CASCADE_CHILD_PORT="9").listens_on == 9
    assert told(tmp_path, CASCADE_CHILD_PORT="9").listens_on == 9
