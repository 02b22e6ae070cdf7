"""The load: feeds, message tasks, dispatches all along, people who cancel, retry and change things, and sources that publish."""

from __future__ import annotations

import random
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.chaos.calls import PATIENCE_SECONDS, Caller, Reply
from tests.chaos.children import SimulatedChild
from tests.chaos.journals import Dispatched, Journals
from tests.chaos.plan import CHILDREN
from tests.chaos.sources import Accounts, Feeds
from tests.e2e.system import PASSWORD
from tests.standins.receivers import Behaviour, ReceiverServer

CASCADE = "/api/v1/cascade"
FEEDS, BROKEN, ACCOUNTS = 150, 10, 12
TASKS, FEEDS_OF_A_TASK = 8, 24
DISPATCHERS = 3
DISPATCH_SECONDS = 7.0
PERSON_SECONDS = 3.0
PUBLISH_SECONDS = 0.3
ONCE_PATH = "/push"
ONCE_TEMPLATE = "{% for article in articles %}[x](http://told/{{ article.id }}) {% endfor %}"


@dataclass(frozen=True, slots=True)
class Task:
    """A message task: the source's own names of its feeds, and the path that its receiver gets messages at.

    `alone`: each of its dispatches makes a run of its own. `repeatable`: its receiver knows repeats by their key.
    """

    task_id: str
    path: str
    feed_ids: tuple[str, ...]
    alone: bool = True
    repeatable: bool = True


@dataclass
class Load:
    """Everything that the system is asked to do. `feed_names`: by the parent's id of a feed, the source's own."""

    seed: int
    urls: list[str]
    journals: Journals
    feeds: Feeds
    accounts: Accounts
    receivers: ReceiverServer
    outside: dict[str, str]
    tasks: list[Task] = field(default_factory=list)
    feed_names: dict[str, str] = field(default_factory=dict)
    children: list[SimulatedChild] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def chance(self, name: str) -> random.Random:
        """The dice of one of the threads."""
        return random.Random(f"{name} {self.seed}")  # noqa: S311

    def prepare(self) -> None:
        """Make feeds, tasks and children, before anything is broken."""
        caller = Caller("setup", self.urls, self.journals, self.chance("setup"))
        caller.log_in(PASSWORD)
        self._token = caller.headers["Authorization"]
        for number in self.feeds.usable:
            asked = {"url": f"{self.outside['feeds']}/feeds/{number}", "kind": "rss", "name": f"F{number}"}
            self.feed_names[_made(caller.insist("POST", "/api/v1/feeds", json=asked))] = f"/feeds/{number}"
        for account in self.accounts.ids:
            asked = {"kind": "wechat", "id": account, "name": account}
            self.feed_names[_made(caller.insist("POST", "/api/v1/feeds", json=asked))] = account
        self._make_tasks(caller)
        self._make_children(caller)

    def _make_tasks(self, caller: Caller) -> None:
        chance = self.chance("tasks")
        own = [feed_id for feed_id, name in self.feed_names.items() if name.startswith("/feeds/")]
        accounts = [feed_id for feed_id in self.feed_names if feed_id not in own]
        for number in range(TASKS):
            ids = chance.sample(own, FEEDS_OF_A_TASK)
            self._make_task(caller, f"/hook/{number}", ids, overlap="queue" if number == 0 else "allow")
        self._make_task(caller, "/hook/accounts", accounts)
        self._make_task(caller, ONCE_PATH, chance.sample(own, FEEDS_OF_A_TASK), repeatable=False)

    def _make_task(
        self,
        caller: Caller,
        path: str,
        feed_ids: list[str],
        *,
        overlap: str = "allow",
        repeatable: bool = True,
    ) -> None:
        url = self.outside["receivers"] + path
        asked = {
            "name": path,
            "feed_ids": feed_ids,
            "overlap": overlap,
            "message_type": 1 if repeatable else 0,
            "message_template": "" if repeatable else ONCE_TEMPLATE,
            # A chat robot does not know repeats.
            "web_hook_url": url
            if repeatable
            else self.outside["receivers"].replace("http:", "bark:") + "/key",
        }
        task_id = _made(caller.insist("POST", "/api/v1/message-tasks", json=asked))
        self.tasks.append(Task(task_id, path, tuple(feed_ids), overlap == "allow", repeatable))

    def _make_children(self, caller: Caller) -> None:
        for name in CHILDREN:
            made = caller.insist("POST", f"{CASCADE}/nodes", json={"name": name})
            path = f"{CASCADE}/nodes/{_made(made)}/credentials"
            pair = caller.insist("POST", path, json={}).data
            child = SimulatedChild(name, self.accounts, self.urls, self.journals, self.seed)
            child.start(pair["api_key"], pair["api_secret"])
            self.children.append(child)

    # while it lasts

    def start(self) -> None:
        """Begin to ask, change and publish."""
        for number in range(DISPATCHERS):
            self._spawn(f"dispatcher-{number}", self._dispatch_one, DISPATCH_SECONDS)
        self._spawn("person", self._interfere, PERSON_SECONDS)
        self._spawn("publisher", self._publish, PUBLISH_SECONDS)
        self._spawn("receivers", self._be_rude, PERSON_SECONDS)

    def stop(self) -> None:
        """Ask for nothing new; what was asked is waited for."""
        self._stop.set()
        for thread in self._threads:
            thread.join(2 * PATIENCE_SECONDS)

    def _spawn(self, name: str, step: Callable[[Caller], None], seconds: float) -> None:
        caller = Caller(name, self.urls, self.journals, self.chance(name))
        caller.headers["Authorization"] = self._token

        def run() -> None:
            while not self._stop.wait(caller.chance.uniform(0.2, 1.8) * seconds):
                try:
                    step(caller)
                except Exception as error:  # noqa: BLE001  (told at the end, by the thread of the test)
                    self.journals.trouble(f"{name}: {error!r}")

        self._threads.append(threading.Thread(target=run, name=name, daemon=True))
        self._threads[-1].start()

    def _dispatch_one(self, caller: Caller) -> None:
        task = caller.chance.choice(self.tasks)
        self.dispatch(caller, task)

    def dispatch(self, caller: Caller, task: Task) -> Dispatched:
        """Ask for a run under one key until it is sure, or until patience ends."""
        one = self.journals.dispatch(str(uuid.UUID(int=caller.chance.getrandbits(128))), task.task_id)
        end = time.monotonic() + PATIENCE_SECONDS
        while True:
            one.tries += 1
            reply = caller.once(
                "POST",
                f"{CASCADE}/dispatch-task?task_id={task.task_id}",
                headers={"Idempotency-Key": one.key},
            )
            if reply.status == 200:
                [told] = reply.data["tasks"]
                one.run_id, one.items, one.outcome = told["run_id"], told["mp_count"], "acknowledged"
                return one
            one.detail = f"{reply.status} {reply.error}"
            if not reply.may_pass:
                # "Its first answer is lost": it took effect, and nobody can be told which run it made.
                one.outcome = "unknown" if reply.error == "first_answer_lost" else "refused"
                return one
            if time.monotonic() > end:
                return one
            time.sleep(caller.chance.uniform(0.3, 1.2))

    def _interfere(self, caller: Caller) -> None:
        deed = caller.chance.choice(("cancel", "retry", "rename", "look", "look"))
        if deed == "rename":
            feed_id = caller.chance.choice(list(self.feed_names))
            name = f"renamed {caller.chance.randrange(1000)}"
            caller.once("PUT", f"/api/v1/feeds/{feed_id}", json={"name": name})
            return
        state = {"cancel": "executing", "retry": "failed"}.get(deed, "pending")
        found = caller.once("GET", f"{CASCADE}/allocations", params={"status": state, "limit": 20})
        if deed == "look" or found.status != 200 or not found.data["list"]:
            return
        chosen = caller.chance.choice(found.data["list"])
        caller.once("POST", f"{CASCADE}/allocations/{chosen['allocation_id']}/{deed}")

    def _publish(self, caller: Caller) -> None:
        if caller.chance.random() < 0.15:
            self.accounts.publish(caller.chance.choice(self.accounts.ids))
            return
        whole = [number for number in self.feeds.usable if not self.feeds.feeds[number].broken]
        self.feeds.publish(caller.chance.choice(whole))

    def _be_rude(self, caller: Caller) -> None:
        path = caller.chance.choice([task.path for task in self.tasks if task.repeatable])
        rudeness = caller.chance.choice(
            (
                Behaviour(status=503, headers={"Retry-After": "1"}, times=2),
                Behaviour(silent=True, times=2),
                Behaviour(seconds=2.0, times=3),
                Behaviour(status=500, times=1),
            )
        )
        self.receivers.tell(path, rudeness)


def _made(reply: Reply) -> str:
    assert reply.status == 200, reply
    return str(reply.data["id"])
