"""A running system that publishes, with the platforms that it publishes to, on loopback."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.e2e.system import System, Visitor
from tests.servers import wait_until
from tests.standins.webhook_receiver import WebhookReceiver
from tests.standins.zhihu import ZhihuServer

WAIT_SECONDS = 60.0
TASKS, ACCOUNTS = "/api/v1/publish/tasks", "/api/v1/publish/accounts"
SETTINGS = {
    # What must not be told may not be told in the least important line either.
    "LOG_LEVEL": "DEBUG",
    "CASCADE_RETRY_BASE_SECONDS": "0.3",
}
PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
)


@dataclass
class Publishing:
    """The system, its platforms, a folder for articles, and everything that commands and HTTP answered."""

    system: System
    zhihu: ZhihuServer
    hook: WebhookReceiver
    folder: Path
    said: list[str] = field(default_factory=list)

    def command(self, *words: str, expect: int = 0) -> str:
        """Run a command; the last line of its stdout."""
        done = self.system.run(*words)
        self.said.append(done.stdout + done.stderr)
        assert done.returncode == expect, f"{words}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout.splitlines()[-1] if done.stdout else ""

    def file(self, name: str, text: str) -> str:
        """A file of that name; its path."""
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        return str(path)

    @contextmanager
    def visitor(self) -> Iterator[Visitor]:
        """An admin at the HTTP interface, of whom every answer is kept."""
        with Visitor(self.system.url) as visitor:
            visitor.log_in()
            visitor.session.hooks["response"].append(lambda answer, **_: self.said.append(answer.text))
            yield visitor

    def story(self, visitor: Visitor, task_id: str) -> Mapping[str, Any]:
        """What is told of a task."""
        found: Mapping[str, Any] = visitor.ask("GET", f"{TASKS}/{task_id}")
        return found

    def wait_for_status(self, visitor: Visitor, task_id: str, *statuses: str) -> Mapping[str, Any]:
        """Wait until the task has one of the statuses; what is told of it then."""
        seen: list[Mapping[str, Any]] = []

        def there() -> bool:
            seen.append(self.story(visitor, task_id))
            return seen[-1]["status"] in statuses

        try:
            wait_until(there, WAIT_SECONDS, f"{statuses} of {task_id}")
        except TimeoutError as error:
            raise AssertionError(json.dumps(seen[-1], indent=1, ensure_ascii=False)) from error
        return seen[-1]


@contextmanager
def running(folder: Path, **settings: str) -> Iterator[Publishing]:
    """All of it, started; at the end it must stop well."""
    with ExitStack() as stack:
        zhihu, hook = stack.enter_context(ZhihuServer()), stack.enter_context(WebhookReceiver())
        hosts = ",".join((zhihu.setting, hook.setting))
        system = stack.enter_context(
            System(folder / "var", CASCADE_PUBLISH_HOSTS=hosts, **(SETTINGS | settings))
        )
        articles = folder / "articles"
        articles.mkdir()
        yield Publishing(system, zhihu, hook, articles)


def steps(story: Mapping[str, Any]) -> list[str]:
    """The states that a task went through."""
    return [one["to_state"] for one in story["timeline"]]
