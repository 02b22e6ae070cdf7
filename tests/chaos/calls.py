"""Calls to the parents as careful clients make them: to any of them, again after a 503 or no answer."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import requests

from tests.chaos.journals import Journals

CALL_SECONDS = 20.0
PATIENCE_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer; status 0 when there was none."""

    status: int
    body: Mapping[str, Any]

    @property
    def data(self) -> Any:
        """What the envelope holds."""
        return self.body.get("data")

    @property
    def error(self) -> str:
        """The error's code, or ''."""
        return str(self.data.get("error", "")) if isinstance(self.data, dict) else ""

    @property
    def may_pass(self) -> bool:
        """Whether asking again makes sense."""
        return self.status in {0, 429} or self.status >= 500 or self.error == "request_in_hand"


class Caller:
    """One client, for one thread. `urls`: the parents."""

    def __init__(self, name: str, urls: list[str], journals: Journals, chance: random.Random) -> None:
        self.name, self.urls, self.journals, self.chance = name, urls, journals, chance
        self.headers: dict[str, str] = {}

    def log_in(self, password: str) -> None:
        """Become the admin."""
        who = {"username": "admin", "password": password}
        reply = self.insist("POST", "/api/v1/auth/login", json=who)
        self.headers["Authorization"] = f"Bearer {reply.data['access_token']}"

    def once(self, method: str, path: str, **more: Any) -> Reply:
        """One try, at one of the parents; on a connection of its own, so that each try may meet another process."""
        headers = self.headers | more.pop("headers", {})
        url = self.chance.choice(self.urls) + path
        try:
            with requests.Session() as session:
                session.trust_env = False
                answer = session.request(method, url, headers=headers, timeout=CALL_SECONDS, **more)
            body = answer.json()
        except (requests.RequestException, ValueError):
            self.journals.answer(self.name, 0, "")
            return Reply(0, {})
        self.journals.answer(self.name, answer.status_code, f"{method} {path}: {answer.text}")
        return Reply(answer.status_code, body if isinstance(body, dict) else {"data": body})

    def insist(self, method: str, path: str, stop: threading.Event | None = None, **more: Any) -> Reply:
        """Try until there is an answer that says something, boundedly; the last reply."""
        end = time.monotonic() + PATIENCE_SECONDS
        while True:
            reply = self.once(method, path, **more)
            if not reply.may_pass or time.monotonic() > end or (stop is not None and stop.is_set()):
                return reply
            time.sleep(self.chance.uniform(0.2, 1.0))
