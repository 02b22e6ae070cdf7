"""A WeRSS child as the tests play it: its node, its credentials, and the calls that it makes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flask.testing import FlaskClient
from sqlalchemy import Engine, update

from backend.domain.feeds import FeedDraft
from backend.domain.identifiers import new_id
from backend.store import credentials, feeds, nodes
from backend.store.columns import now
from backend.store.credentials import Pair, new_pair
from backend.store.session import transact
from backend.store.tables import Feed, Node
from tests.building import dispatch, make_task
from tests.integration.api.harness import Api, data

WERSS = "/api/v1/wx/cascade"


def make_child(engine: Engine, name: str = "werss", *, capacity: int = 100) -> tuple[str, Pair]:
    """A remote node that has just beaten, without an instance; its id and its pair."""
    pair = new_pair()

    def make(session: Any) -> str:
        node = nodes.create_node(session, name=name, transport="remote", max_capacity=capacity)
        credentials.rotate(session, node.id, pair)
        session.execute(update(Node).where(Node.id == node.id).values(presence_at=now()))
        return str(node.id)

    return transact(engine, make), pair


def make_accounts(engine: Engine, count: int, first: int = 1) -> list[str]:
    """WeChat accounts as WeRSS names them; their ids."""
    numbers = range(first, first + count)
    drafts = [
        FeedDraft(f"MP_WXS_{number}", "wechat", f"公众号{number}", f"https://mp.weixin.qq.com/{number}")
        for number in numbers
    ]

    def make(session: Any) -> list[str]:
        ids = [feeds.create_feed(session, draft).id for draft in drafts]
        session.execute(update(Feed).where(Feed.id.in_(ids)).values(faker_id="fake"))
        return ids

    return transact(engine, make)


@dataclass(frozen=True)
class Child:
    """A child of the application, with the calls that it makes."""

    api: Api
    node_id: str
    pair: Pair
    prefix: str = WERSS

    @property
    def client(self) -> FlaskClient:
        """A client with the child's credentials."""
        return self.api.client(authorization=f"AK-SK {self.pair.api_key}:{self.pair.api_secret}")

    def get(self, path: str, **headers: str) -> Any:
        """The answer to a GET."""
        return self.client.get(self.prefix + path, headers=headers)

    def post(self, path: str, body: object = None) -> Any:
        """The answer to a POST of JSON."""
        return self.client.post(self.prefix + path, json=body)

    def status(self, allocation_id: str, status: str, error: str | None = None) -> Any:
        """The answer to task-status, as WeRSS sends it."""
        body = {
            "allocation_id": allocation_id,
            "status": status,
            "error_message": error,
            "timestamp": "2026-01-01T00:00:00",
        }
        return self.client.put(self.prefix + "/task-status", json=body)

    def claim(self) -> Any:
        """What claim-task gives."""
        return data(self.post("/claim-task"))

    def upload(self, allocation_id: str, articles: list[dict[str, Any]]) -> Any:
        """The answer to upload-articles."""
        return self.post(
            "/upload-articles",
            {"allocation_id": allocation_id, "articles": articles, "timestamp": "2026-01-01T00:00:00"},
        )

    def complete(self, package: dict[str, Any], results: list[dict[str, Any]]) -> Any:
        """The answer to report-completion."""
        return self.post(
            "/report-completion",
            {
                "allocation_id": package["allocation_id"],
                "task_id": package["task_id"],
                "results": results,
                "article_count": sum(one.get("article_count", 0) for one in results),
                "timestamp": "2026-01-01T00:00:00",
            },
        )


def make_werss(api: Api, name: str = "werss") -> Child:
    """A child of the application."""
    return Child(api, *make_child(api.engine, name))


def dispatched(api: Api, count: int = 1, first: int = 1) -> tuple[str, list[str]]:
    """A task over new accounts with a web hook, dispatched; its id and theirs."""
    accounts = make_accounts(api.engine, count, first)
    task_id = make_task(api.engine, accounts)
    dispatch(api.engine, task_id)
    return task_id, accounts


def article(feed_id: str, number: int = 1, **fields: Any) -> dict[str, Any]:
    """An article as WeRSS uploads it."""
    digits = feed_id.removeprefix("MP_WXS_")
    return {
        "id": f"{digits}-265291705{number}_1",
        "mp_id": feed_id,
        "title": f"标题 {number}",
        "pic_url": "https://mmbiz.qpic.cn/1",
        "url": f"https://mp.weixin.qq.com/s/{digits}-{number}",
        "description": "摘要",
        "content": "<p>正文</p>",
        "status": 1,
        "publish_time": 1700000000 + number,
        **fields,
    }


def drawn() -> str:
    """An id that nobody has."""
    return new_id()
