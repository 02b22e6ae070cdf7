"""Pages of other origins get nothing unless the settings name them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from werkzeug.test import TestResponse

import config
from backend.api.app import create_app
from config_values import SettingError
from tests.integration.api.harness import Api, settings_for

OURS = "https://admin.example.com"
PREFLIGHT = {"Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "authorization"}


@contextmanager
def api_for(tmp_path: Path, *origins: str) -> Iterator[Api]:
    settings = settings_for(f"sqlite:///{tmp_path / 'cascade.db'}", tmp_path)
    api = Api(create_app(dataclasses.replace(settings, cors_origins=origins)))
    yield api
    api.close()


def granted(answer: TestResponse) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if name.startswith("Access-Control-")}


def test_without_the_setting_no_origin_gets_anything(tmp_path: Path) -> None:
    with api_for(tmp_path) as api:
        preflight = api.client().options("/api/v1/feeds", headers={"Origin": OURS, **PREFLIGHT})
        assert (preflight.status_code, granted(preflight)) == (401, {})
        assert granted(api.client().get("/livez", headers={"Origin": OURS})) == {}


def test_a_preflight_of_a_named_origin_is_answered_before_the_login(tmp_path: Path) -> None:
    with api_for(tmp_path, OURS) as api:
        answer = api.client().options("/api/v1/feeds", headers={"Origin": OURS, **PREFLIGHT})
    assert answer.status_code == 204
    assert answer.headers["Access-Control-Allow-Origin"] == OURS
    assert "PUT" in answer.headers["Access-Control-Allow-Methods"]
    assert "Authorization" in answer.headers["Access-Control-Allow-Headers"]
    assert "Access-Control-Allow-Credentials" not in answer.headers


def test_answers_and_refusals_can_be_read_by_a_named_origin(tmp_path: Path) -> None:
    with api_for(tmp_path, OURS) as api:
        for path, status in (("/livez", 200), ("/api/v1/feeds", 401)):
            answer = api.client().get(path, headers={"Origin": OURS})
            assert answer.status_code == status
            assert answer.headers["Access-Control-Allow-Origin"] == OURS
            assert "X-Request-ID" in answer.headers["Access-Control-Expose-Headers"]
            assert "Origin" in answer.headers["Vary"]


def test_other_origins_get_nothing_beside_a_named_one(tmp_path: Path) -> None:
    with api_for(tmp_path, OURS) as api:
        answer = api.client().get("/livez", headers={"Origin": OURS + ".evil.example"})
        assert granted(answer) == {}
        assert "Origin" in answer.headers["Vary"]


def test_every_origin_may_be_allowed_but_never_with_cookies(tmp_path: Path) -> None:
    with api_for(tmp_path, "*") as api:
        answer = api.client().get("/livez", headers={"Origin": "https://anywhere.example"})
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert "Access-Control-Allow-Credentials" not in answer.headers


def test_origins_are_read_from_the_environment(tmp_path: Path) -> None:
    settings = config.load(
        {"CASCADE_CORS_ORIGINS": "https://A.example/, http://b.example:81"}, data_dir=tmp_path
    )
    assert settings.cors_origins == ("https://a.example", "http://b.example:81")


@pytest.mark.parametrize("given", ["admin.example.com", "https://a.example/path", "null"])
def test_what_is_no_origin_stops_the_start(tmp_path: Path, given: str) -> None:
    with pytest.raises(SettingError, match="CASCADE_CORS_ORIGINS"):
        config.load({"CASCADE_CORS_ORIGINS": given}, data_dir=tmp_path)
