"""The parent's HTTP application on a test's database, and clients that are logged in."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import Engine
from werkzeug.test import TestResponse

import config
from backend.api.app import create_app
from backend.api.context import NAME, Parts
from backend.api.tokens import Tokens
from backend.domain.identifiers import new_id
from backend.domain.orders import ArticleDraft
from backend.store import logins, users
from backend.store.collecting import Collected, store_articles
from backend.store.passwords import hash_password
from backend.store.session import read, transact

SECRET_KEY = "a key for tests only"
PASSWORD = "correct horse battery"
# Hashing is slow on purpose: once is enough.
PASSWORD_HASH = hash_password(PASSWORD)


def settings_for(database_url: str, data_dir: Path, redis_url: str = "") -> config.Settings:
    """Settings as a parent has them, on the given database."""
    settings = config.load({"CASCADE_SECRET_KEY": SECRET_KEY}, data_dir=data_dir)
    return dataclasses.replace(settings, database_url=database_url, redis_url=redis_url)


def build(database_url: str, data_dir: Path, redis_url: str = "") -> Api:
    """The application as the factory makes it."""
    return Api(create_app(settings_for(database_url, data_dir, redis_url)))


@dataclass(frozen=True)
class Api:
    """The application with its database."""

    app: Flask

    @property
    def parts(self) -> Parts:
        """What the factory built."""
        parts: Parts = self.app.extensions[NAME]
        return parts

    @property
    def engine(self) -> Engine:
        """The application's own engine."""
        return self.parts.engine

    def close(self) -> None:
        """Give every connection back."""
        self.engine.dispose()
        self.parts.login_guard.close()
        if self.parts.redis is not None:
            self.parts.redis.close()
            vars(self.app)["redis_conn"].close()

    def client(self, token: str = "", **headers: str) -> FlaskClient:
        """A client that sends the token and headers with every request."""
        client = self.app.test_client()
        if token:
            headers["Authorization"] = f"Bearer {token}"
        for name, value in headers.items():
            client.environ_base[f"HTTP_{name.upper()}"] = value
        return client

    def add_user(self, name: str, role: str) -> None:
        """Somebody with the tests' password."""
        user_id = new_id()
        transact(
            self.engine,
            lambda session: users.create_user(
                session, user_id=user_id, name=name, password_hash=PASSWORD_HASH, role=role
            ),
        )

    def log_in(self, name: str) -> str:
        """A fresh token."""
        answer = self.client().post("/api/v1/auth/login", json={"username": name, "password": PASSWORD})
        return str(data(answer)["access_token"])

    def issue(self, name: str, tokens: Tokens, ends: datetime) -> str:
        """A token of a login of the user, signed by `tokens`, that ends when it should."""
        known = read(self.engine, lambda session: users.named_user(session, name))
        login_id = new_id()
        transact(self.engine, lambda session: logins.start_login(session, login_id, known.id, ends))
        return tokens.issue(known, login_id, ends)

    def as_role(self, role: str, **headers: str) -> FlaskClient:
        """A client of a new user with that role."""
        name = f"{role}-{new_id()[-6:]}"
        self.add_user(name, role)
        return self.client(self.log_in(name), **headers)

    def store_articles(self, feed_id: str, *articles: ArticleDraft) -> list[str]:
        """Articles as a collecting node would store them; their ids."""
        stored = transact(
            self.engine, lambda session: store_articles(session, [Collected(feed_id, articles)])
        )
        return stored[feed_id]


def data(answer: TestResponse, status: int = 200) -> Any:
    """The envelope's data, after looking at the status."""
    assert answer.status_code == status, answer.text
    body = answer.get_json()
    assert set(body) == {"code", "message", "data"}
    assert status < 400 or body["code"] == status
    return body["data"]


def field_errors(answer: TestResponse) -> Mapping[str, str]:
    """What a 422 says about each field."""
    found: Mapping[str, str] = data(answer, 422)["errors"]
    return found


def add_feed(client: FlaskClient, url: str = "https://example.com/feed.xml", name: str = "A feed") -> str:
    """The id of a new feed."""
    return str(data(client.post("/api/v1/feeds", json={"url": url, "name": name}))["id"])


def add_task(client: FlaskClient, feed_ids: list[str] | str = "all", **fields: object) -> str:
    """The id of a new message task."""
    body = {"name": "A task", "feed_ids": feed_ids, **fields}
    return str(data(client.post("/api/v1/message-tasks", json=body))["id"])
