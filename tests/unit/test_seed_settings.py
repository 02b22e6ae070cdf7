"""The settings that the three cascade documents of WeRSS show are understood as they stand there."""

from __future__ import annotations

from pathlib import Path

import pytest

from config import load
from config_values import SettingError

# G 父节点配置; D 配置父节点
PARENTS = (
    "cascade:\n  enabled: False  # 父节点不需要启用级联\n  node_type: parent\n",
    "cascade:\n  enabled: true\n  node_type: parent\n",
)
# G 子节点配置; D 配置子节点; T 问题1
CHILDREN = (
    """\
cascade:
  enabled: True
  node_type: child
  parent_api_url: "http://parent-server:8001"  # 父节点API地址
  api_key: "CNxxxxx"  # 从父节点获取的API Key
  api_secret: "CSxxxxx"  # 从父节点获取的Secret
  sync_interval: 300  # 同步间隔（秒）
  heartbeat_interval: 60  # 心跳间隔（秒）
""",
    """\
cascade:
  enabled: true
  node_type: child
  parent_api_url: http://parent-server:8001
  api_key: CNxxxxx
  api_secret: CSxxxxx
  sync_interval: 300        # 同步间隔（秒）
  heartbeat_interval: 60    # 心跳间隔（秒）
""",
)
# G 环境变量配置
CHILD_ENVIRONMENT = """\
CASCADE_ENABLED=True
CASCADE_NODE_TYPE=child
CASCADE_PARENT_URL=http://parent-server:8001
CASCADE_API_KEY=CNxxxxx
CASCADE_API_SECRET=CSxxxxx
CASCADE_SYNC_INTERVAL=300
CASCADE_HEARTBEAT_INTERVAL=60
"""


@pytest.mark.parametrize("written", PARENTS)
def test_a_parent_s_config_yaml_makes_a_parent(written: str, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(written, encoding="utf-8")
    assert load({}, data_dir=tmp_path, config_file=tmp_path / "config.yaml").node_type == "parent"
    assert load({"CASCADE_ENABLED": "False"}, data_dir=tmp_path).node_type == "parent"


@pytest.mark.parametrize("written", CHILDREN)
def test_a_child_s_config_yaml_names_its_parent_and_its_pair(written: str, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(written, encoding="utf-8")
    found = load({}, data_dir=tmp_path, config_file=tmp_path / "config.yaml")
    assert (found.cascade_enabled, found.node_type) == (True, "child")
    assert (found.parent_url, found.api_key, found.api_secret) == (
        "http://parent-server:8001",
        "CNxxxxx",
        "CSxxxxx",
    )


def test_a_child_s_environment_does_the_same(tmp_path: Path) -> None:
    told = dict(line.split("=", 1) for line in CHILD_ENVIRONMENT.splitlines())
    found = load(told, data_dir=tmp_path)
    assert (found.cascade_enabled, found.node_type) == (True, "child")
    assert (found.parent_url, found.api_key, found.api_secret) == (
        "http://parent-server:8001",
        "CNxxxxx",
        "CSxxxxx",
    )


def test_a_child_reads_the_rest_of_its_settings_from_file_and_environment(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(
        "cascade: {sync_interval: 120, heartbeat_interval: 30, callback_url: 'http://c:9', port: 9, autonomous: true,"
        " ca_file: /a.pem}\n"
    )
    found = load({}, data_dir=tmp_path)
    assert (found.sync_seconds, found.heartbeat_seconds) == (120.0, 30.0)
    assert (found.callback_url, found.child_port) == ("http://c:9", 9)
    assert (found.autonomous, found.ca_file) == (True, "/a.pem")
    told = {"CASCADE_SYNC_INTERVAL": "200", "CASCADE_HEARTBEAT_INTERVAL": "20", "CASCADE_AUTONOMOUS": "no"}
    over = load(told, data_dir=tmp_path)
    assert (over.sync_seconds, over.heartbeat_seconds, over.autonomous) == (200.0, 20.0, False)


def test_the_secret_may_stand_in_a_file_of_its_own(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("CSfromfile\n")
    (tmp_path / "config.yaml").write_text(f"cascade: {{api_secret_file: {secret}}}\n")
    assert load({}, data_dir=tmp_path).api_secret == "CSfromfile"
    assert load({"CASCADE_API_SECRET": "CSenv"}, data_dir=tmp_path).api_secret == "CSenv"
    (tmp_path / "config.yaml").write_text("cascade: {api_secret: CSconfig}\n")
    told = {"CASCADE_API_SECRET_FILE": str(secret)}
    assert load(told, data_dir=tmp_path).api_secret == "CSfromfile"


def test_a_secret_file_that_is_away_or_one_of_two_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"cascade\.api_secret_file .*can't be read"):
        load({"CASCADE_API_SECRET_FILE": str(tmp_path / "none")}, data_dir=tmp_path)
    (tmp_path / "config.yaml").write_text("cascade: {api_secret: CSa, api_secret_file: /b}\n")
    with pytest.raises(SettingError, match="keep one of the two"):
        load({}, data_dir=tmp_path)
