"""The application on each database, and clients of each role."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from tests.integration.api.harness import Api, build
from tests.servers import RedisServer


@pytest.fixture
def api(migrated_url: str, tmp_path: Path) -> Iterator[Api]:
    """The application without Redis."""
    api = build(migrated_url, tmp_path)
    yield api
    api.close()


@pytest.fixture
def api_with_redis(migrated_url: str, tmp_path: Path, redis_server: RedisServer) -> Iterator[Api]:
    """The application with the session's Redis."""
    api = build(migrated_url, tmp_path, redis_server.url)
    yield api
    api.close()


@pytest.fixture
def admin(api: Api) -> FlaskClient:
    """A client of an admin."""
    return api.as_role("admin")


@pytest.fixture
def viewer(api: Api) -> FlaskClient:
    """A client of a viewer."""
    return api.as_role("viewer")
