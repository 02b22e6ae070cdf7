"""Publishing in a whole system: users, accounts and articles on the platforms' stand-ins, and harm done to the workers."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import psutil
from sqlalchemy import Engine, select

from backend.dispatch.queues import PUBLISH_SUFFIX
from backend.domain.identifiers import new_id
from backend.domain.publishing import Cookie, Credentials, Manuscript
from backend.store import accounts, publishing
from backend.store.accounts import NewAccount
from backend.store.cipher import Cipher
from backend.store.publishing import NewPublish
from backend.store.session import read, transact
from backend.store.tables import PublishTask
from config import ROOT
from tests.e2e.system import System
from tests.plugins.installing import install
from tests.standins.platform import PlatformServer
from tests.standins.webhook_receiver import HOST, WebhookReceiver
from tests.standins.zhihu import ZhihuServer

KEY = "a key for tests only, and long enough"
OPEN = {"pending", "queued", "running", "held"}
# The real ones, whose requests may take three seconds instead of thirty: doubt then lasts as many seconds as else minutes.
HASTY = """
from dataclasses import replace

from backend.publishers.csdn.publisher import CsdnPublisher
from backend.publishers.juejin.publisher import JuejinPublisher
from backend.publishers.metaweblog.publisher import MetaWeblogPublisher
from backend.publishers.webhook import WebhookPublisher
from backend.publishers.wordpress.publisher import WordPressPublisher
from backend.publishers.zhihu.ways import Zhihu as ZhihuPublisher


def hasty(publisher):
    class Hasty(publisher):
        promise = replace(publisher.promise, quiet_seconds=6.0)

        def __init__(self):
            super().__init__(3.0)

    return Hasty


Csdn, Juejin, MetaWeblog = hasty(CsdnPublisher), hasty(JuejinPublisher), hasty(MetaWeblogPublisher)
Webhook, WordPress, Zhihu = hasty(WebhookPublisher), hasty(WordPressPublisher), hasty(ZhihuPublisher)
"""
HASTY_ENTRIES = {
    "csdn": "hasty:Csdn",
    "juejin": "hasty:Juejin",
    "metaweblog": "hasty:MetaWeblog",
    "webhook": "hasty:Webhook",
    "wordpress": "hasty:WordPress",
    "zhihu": "hasty:Zhihu",
}


def settings(*platforms: PlatformServer) -> dict[str, str]:
    """What the system is told: where the platforms are, short leases, no limits of users."""
    return {
        "CASCADE_SECRET_KEY": KEY,
        "CASCADE_PUBLISH_HOSTS": ",".join(one.setting for one in platforms),
        "CASCADE_PUBLISH_IN_FLIGHT": "50",
        "CASCADE_PUBLISH_PER_MINUTE": "1000",
        "CASCADE_LEASE_SECONDS": "6",
        "CASCADE_RENEW_SECONDS": "2",
    }


@contextmanager
def nodes(system: System, folder: Path, *names: str) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Attached nodes of the system with the hasty publishers: `up` would take the path of these away."""
    plugins = install(folder / "plugins", HASTY_ENTRIES, "cascade.publishers", hasty=HASTY)
    told = system.environment | {
        "CASCADE_DATA_DIR": str(system.data_dir),
        "PYTHONPATH": f"{ROOT}:{plugins}",
    }
    running = []
    try:
        for name in names:
            with (folder / f"{name}.log").open("wb") as log:
                command = [sys.executable, "-m", "backend.cli.main", "node", "run", name]
                running.append(subprocess.Popen(command, cwd=ROOT, env=told, stdout=log, stderr=log))
        yield running
    finally:
        for one in running:
            one.terminate()
        for one in running:
            one.wait(30)


def zhihu_account(engine: Engine, server: ZhihuServer, user: str) -> str:
    """A user's account there, with a session that is good."""
    server.add_account(user, secret=f"z-c0-of-{user}")
    cookies = (
        Cookie("z_c0", f"z-c0-of-{user}", "zhihu.com"),
        Cookie("_xsrf", "t0ken", "zhihu.com"),
        Cookie("d_c0", "device", "zhihu.com"),
    )
    return account(engine, "zhihu", user, Credentials(cookies))


def hook_account(engine: Engine, server: WebhookReceiver, user: str) -> str:
    """A user's own receiver."""
    server.add_account(user, secret=f"secret-of-{user}")
    fields = {"url": f"https://{HOST}/{user}", "secret": f"secret-of-{user}"}
    return account(engine, "webhook", user, Credentials(fields=fields))


def account(engine: Engine, platform: str, user: str, credentials: Credentials) -> str:
    """A user's account on a platform, as fast as it can be."""
    account_id = new_id()
    new = NewAccount(platform, user, credentials, min_gap_seconds=0, daily_limit=0)
    transact(
        engine, lambda session: accounts.create_account(session, Cipher(KEY), account_id, user, new) and None
    )
    return account_id


def submit(engine: Engine, user: str, account_id: str, titles: list[str]) -> list[str]:
    """The user's articles for the account; the ids of their tasks."""
    wanted = {
        new_id(): NewPublish(
            account_id, Manuscript(title, f"# {title}\n\nSome **words** of {title}.\n", tags=("Python",))
        )
        for title in titles
    }
    refused = transact(engine, lambda session: publishing.create_tasks(session, user, wanted))
    assert not any(refused.values()), refused
    return list(wanted)


def states(engine: Engine) -> Counter[str]:
    """How many publish tasks are in each state."""
    return Counter(read(engine, lambda session: session.scalars(select(PublishTask.state)).all()))


def unended(engine: Engine) -> list[str]:
    """What has not ended, and why it waits; for people who read a failure."""
    query = select(PublishTask.title, PublishTask.state, PublishTask.reason, PublishTask.error_message)
    rows = read(engine, lambda session: session.execute(query).all())
    return [str(tuple(row)) for row in rows if row.state in OPEN | {"failed"}]


@dataclass
class Harm:
    """What is done to the publish workers of a system and to what they do their work in."""

    system: System
    random: Random
    kills: Counter[str] = field(default_factory=Counter)
    frozen: list[psutil.Process] = field(default_factory=list)
    frozen_at: datetime | None = None

    def victims(self) -> list[tuple[str, psutil.Process]]:
        """The living publish workers and the processes of their jobs."""
        found = []
        for worker in self.system.workers():
            if worker.queue.endswith(PUBLISH_SUFFIX):
                with suppress(psutil.NoSuchProcess):
                    process = psutil.Process(worker.pid)
                    found.append(("worker", process))
                    found += [("horse", child) for child in process.children()]
        return found

    def kill_one(self) -> str:
        """SIGKILL to one of them, if there is one; which kind it was."""
        victims = [one for one in self.victims() if one[1] not in self.frozen]
        horses = [one for one in victims if one[0] == "horse"]
        # Mostly in the middle of work: idle workers miss nothing, and those that die often are started later and later.
        victims = horses if horses and self.random.random() < 0.85 else victims
        if not victims:
            return ""
        kind, process = self.random.choice(victims)
        with suppress(psutil.NoSuchProcess):
            process.kill()
            self.kills[kind] += 1
        return kind

    def freeze_one(self) -> bool:
        """SIGSTOP to a worker and its job together, so that nobody is left who would kill the job; whether there was one."""
        for worker in self.system.workers():
            if not worker.queue.endswith(PUBLISH_SUFFIX):
                continue
            with suppress(psutil.NoSuchProcess):
                process = psutil.Process(worker.pid)
                horses = process.children()
                if horses:
                    self.frozen = [process, *horses]
                    for one in self.frozen:
                        one.suspend()
                    self.frozen_at = datetime.now(UTC)
                    return True
        return False

    def wake(self) -> None:
        """Let the frozen go on, long after others have taken what they held."""
        for one in self.frozen:
            with suppress(psutil.NoSuchProcess):
                one.resume()
        self.frozen = []
