"""Accounts and articles over HTTP, as their users make them."""

from __future__ import annotations

from typing import Any

from flask.testing import FlaskClient

from tests.integration.api.harness import data

ACCOUNTS, TASKS = "/api/v1/publish/accounts", "/api/v1/publish/tasks"
URL, SECRET = "https://hooks.example.com/in?key=planted-url", "planted-secret"


def add_account(client: FlaskClient, name: str = "mine", **more: Any) -> str:
    """A web hook as an account; its id."""
    body = {"platform": "webhook", "name": name, "credentials": {"url": URL, "secret": SECRET}} | more
    return str(data(client.post(ACCOUNTS, json=body))["id"])


def article(account_id: str, title: str = "Hello", **more: Any) -> dict[str, Any]:
    """A request for an article."""
    return {"title": title, "content": f"About {title}.", "account_id": account_id} | more


def add_article(client: FlaskClient, account_id: str, title: str = "Hello", **more: Any) -> str:
    """An article to publish; its task's id."""
    return str(data(client.post(TASKS, json=article(account_id, title, **more)))["id"])
