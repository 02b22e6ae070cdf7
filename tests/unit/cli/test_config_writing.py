"""`config.yaml` keeps what somebody wrote into it."""

from __future__ import annotations

import os
import traceback
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from backend.cli.config_writing import check_writable, merged, read_text, write
from backend.domain.errors import ConfigurationError
from config import read_file
from config_values import SettingError

TOLD = {"enabled": True, "node_type": "child", "api_key": "CN1", "api_secret": "CS1"}
BY_HAND = """\
# our office in Lyon
log_level: DEBUG
cascade:   # the child
  enabled: false
  # every five minutes is enough
  sync_interval: 300
  api_key: "CNold"  # from before

work:
  worker_megabytes: 300
"""
TEXTS = {
    "none": "",
    "comments only": "# nothing yet\n",
    "by hand": BY_HAND,
    "no section": "log_level: INFO\n",
    "no last line": "log_level: INFO",
    "empty section": "cascade:\nlog_level: INFO\n",
    "flow style": "cascade: {enabled: false, sync_interval: 60}\n",
    "four spaces": "cascade:\n    sync_interval: 60\n    nested:\n        api_key: deep\n",
    "an anchor": "cascade: &it\n  api_key: old\nother: *it\n",
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_the_settings_are_there_and_everything_else_stays(text: str) -> None:
    before = yaml.safe_load(text) or {}
    after = yaml.safe_load(merged(text, TOLD))
    assert after["cascade"] == (before.get("cascade") or {}) | TOLD
    assert {k: v for k, v in after.items() if k != "cascade"} == {
        k: v for k, v in before.items() if k != "cascade"
    }


def test_comments_and_order_stay() -> None:
    after = merged(BY_HAND, TOLD)
    for line in ("# our office in Lyon", "cascade:   # the child", "  # every five minutes is enough"):
        assert line in after.splitlines()
    assert after.index("log_level") < after.index("cascade") < after.index("worker_megabytes")
    assert merged(after, TOLD) == after


@pytest.mark.parametrize(
    "written", ["api_secret: CSsecret: x", "api_secret: 'CSsecret", "api_secret: *CSsecret"]
)
def test_a_file_that_is_no_yaml_is_told_by_its_place_and_not_by_what_stands_there(
    written: str, tmp_path: Path
) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(f"cascade:\n  {written}\n")
    with pytest.raises(ConfigurationError, match=r"line \d+, column \d+: \w+") as refused:
        read_text(path)
    with pytest.raises(SettingError, match=r"line \d+, column \d+: \w+") as stopped:
        read_file(path)
    for error in (refused.value, stopped.value):
        assert "CSsecret" not in "".join(traceback.format_exception(error))


def test_what_is_dropped_is_gone() -> None:
    text = merged("cascade:\n  api_secret_file: /a\n  port: 9\n", TOLD, frozenset({"api_secret_file"}))
    assert yaml.safe_load(text)["cascade"] == {"port": 9} | TOLD


@given(
    st.dictionaries(
        st.text("abcd_", min_size=1), st.one_of(st.text(), st.integers(), st.booleans()), max_size=4
    ),
    st.dictionaries(st.text("abcdef_", min_size=1), st.text(), min_size=1, max_size=4),
    st.sampled_from([None, True, False]),
)
def test_any_section_takes_any_settings(
    section: dict[str, object], told: dict[str, str], flow: bool | None
) -> None:
    text = yaml.safe_dump({"before": 1, "cascade": section, "z": [1]}, default_flow_style=flow)
    assert yaml.safe_load(merged(text, told)) == {"before": 1, "cascade": section | told, "z": [1]}


def test_only_its_owner_can_read_what_is_written_also_when_others_could_before(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("log_level: INFO\n")
    path.chmod(0o644)
    write(path, "cascade: {}\n")
    assert path.stat().st_mode & 0o777 == 0o600
    assert [one.name for one in tmp_path.iterdir()] == ["config.yaml"]


def test_a_probe_changes_nothing_and_a_place_that_takes_no_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("a: 1\n")
    check_writable(path)
    assert path.read_text() == "a: 1\n"
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError) as refused:
        check_writable(tmp_path / "file" / "config.yaml")
    assert refused.value.code == "config_unwritable"


@pytest.mark.parametrize("text", ["a: [", "- 1\n", "cascade: 3\n"])
def test_a_file_that_holds_no_settings_is_refused_before_anything_is_asked(text: str, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(ConfigurationError):
        read_text(tmp_path / "config.yaml")
    assert os.listdir(tmp_path) == ["config.yaml"]  # noqa: PTH208
