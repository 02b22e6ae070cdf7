"""Simulated WeRSS children: unmodified third parties that claim, upload and report over HTTP, and die in between."""

from __future__ import annotations

import random
import threading
import time
from typing import Any

from tests.chaos.calls import Caller, Reply
from tests.chaos.journals import Journals
from tests.chaos.sources import Accounts

PREFIX = "/api/v1/wx/cascade"
BEAT_SECONDS = 5.0
WAIT_SECONDS = 2
DEAD_SECONDS = 3.0


class Died(Exception):
    """The child was killed: what it has in hand is forgotten."""


class SimulatedChild:
    """One child, in a thread of its own."""

    def __init__(self, name: str, accounts: Accounts, urls: list[str], journals: Journals, seed: int) -> None:
        self.name, self.accounts, self.journals = name, accounts, journals
        self.chance = random.Random(f"{name} {seed}")  # noqa: S311
        self.caller = Caller(name, urls, journals, self.chance)
        self.in_hand = 0
        self._dying = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._live, name=name, daemon=True)

    def start(self, api_key: str, api_secret: str) -> None:
        """Begin to work with these credentials."""
        self.caller.headers["Authorization"] = f"AK-SK {api_key}:{api_secret}"
        self._thread.start()

    def stop(self) -> None:
        """End; what is in hand is finished."""
        self._stop.set()
        self._thread.join(60)

    def die(self) -> int:
        """Forget everything, and come back after a while; how many allocations were in hand."""
        self._dying.set()
        return self.in_hand

    def _live(self) -> None:
        beaten = float("-inf")
        while not self._stop.is_set():
            try:
                if time.monotonic() - beaten > BEAT_SECONDS:
                    beaten = time.monotonic()
                    self.caller.once("POST", f"{PREFIX}/heartbeat", json={})
                self._work_once()
            except Died:
                self.in_hand = 0
                time.sleep(DEAD_SECONDS)
                self._dying.clear()
            except Exception as error:  # noqa: BLE001  (told at the end, by the thread of the test)
                self.journals.trouble(f"{self.name}: {error!r}")
                time.sleep(1)

    def _work_once(self) -> None:
        package = self.caller.once("POST", f"{PREFIX}/claim-task?wait={WAIT_SECONDS}", json={})
        self._live_on()
        if package.status != 200 or not package.data:
            time.sleep(0.5)
            return
        self.in_hand = 1
        self._collect(package.data)
        self.in_hand = 0

    def _collect(self, package: dict[str, Any]) -> None:
        allocation_id = package["allocation_id"]
        said = {"allocation_id": allocation_id, "status": "executing"}
        if not self._say("PUT", "/task-status", said):
            return
        results = []
        for feed in package["feeds"]:
            time.sleep(self.chance.uniform(0.05, 0.4))
            self._live_on()
            found = self.accounts.articles(feed["id"])
            reply = self._tell(
                "POST", "/upload-articles", {"allocation_id": allocation_id, "articles": found}
            )
            if reply.status == 200 and reply.data["kept"] == len(found):
                for article in found:
                    self.journals.upload(feed["id"], article["url"])
                results.append({"mp_id": feed["id"], "status": "success", "article_count": len(found)})
            else:
                results.append({"mp_id": feed["id"], "status": "failed", "error": "the upload failed"})
        body = {"allocation_id": allocation_id, "task_id": package["task_id"], "results": results}
        self._say("POST", "/report-completion", body)

    def _say(self, method: str, path: str, body: dict[str, Any]) -> bool:
        return self._tell(method, path, body).status == 200

    def _tell(self, method: str, path: str, body: dict[str, Any]) -> Reply:
        reply = self.caller.insist(method, PREFIX + path, self._dying, json=body)
        self._live_on()
        return reply

    def _live_on(self) -> None:
        if self._dying.is_set():
            raise Died
