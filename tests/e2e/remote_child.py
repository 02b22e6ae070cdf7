"""A child as a process of its own with a data directory of its own; its parent is reached by HTTP alone."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

import psutil
import yaml
from redis.exceptions import RedisError

from backend.cli.config_writing import merged
from backend.domain.condition import FILE, Condition, from_text
from backend.workers.journal import Journal
from tests.e2e.running import living
from tests.e2e.system import System
from tests.servers import wait_until


class RemoteChild(System):
    """`cascade child`, joined with a token; ready when its workers run and its parent answers."""

    def __init__(self, parent: System, data_dir: Path, name: str, **settings: str) -> None:
        super().__init__(data_dir, **settings)
        self.name = name
        token = parent.last_line("node", "token", name).split()[-1]
        self.last_line("child", "join", self.way_to(parent), token)

    def way_to(self, parent: System) -> str:
        """The parent's address, as it is seen from here."""
        return parent.url

    def command(self) -> list[str]:
        """See `Up`."""
        return ["child", "--workers", "2"]

    @property
    def config(self) -> Path:
        """Where its credentials stand."""
        return self.data_dir / "config.yaml"

    def take_pair(self, printed: str) -> None:
        """Put the credentials that the parent printed into the running child's `config.yaml`."""
        told = yaml.safe_load(printed)["cascade"]
        pair = {name: told[name] for name in ("api_key", "api_secret")}
        self.config.write_text(merged(self.config.read_text(), pair))

    def condition(self) -> Condition | None:
        """What it says of itself."""
        with suppress(FileNotFoundError):
            return from_text((self.data_dir / FILE).read_text())
        return None

    @property
    def node_id(self) -> str:
        """Which node it is."""
        found = self.condition()
        assert found is not None
        return found.node_id

    def running(self) -> int:
        """How many feeds its workers have in work."""
        found = self.condition()
        return found.running if found else 0

    def away_seconds(self) -> float:
        """For how long its parent has not answered."""
        found = self.condition()
        return found.away_seconds if found else 0.0

    def is_idle(self) -> bool:
        """Whether it holds nothing and keeps nothing for its parent."""
        return not Journal(self.data_dir / "journal.db").entries() and self.kept() == 0

    def kept(self) -> int:
        """How many results wait for the parent."""
        return sum(one.parent.name != "dead" for one in (self.data_dir / "outbox").rglob("*.outcome"))

    def refused(self) -> int:
        """How many results its parent did not take; they are kept for a person."""
        return len(list((self.data_dir / "outbox").rglob("dead/*.outcome")))

    def node_process(self) -> psutil.Process:
        """The supervisor of its workers."""
        found = self.part(r"\bnode run\b")
        assert found is not None
        return found

    def worker_processes(self) -> list[psutil.Process]:
        """Its workers, as far as its Redis knows them."""
        found = self.part(r"\bnode run\b")
        try:
            known = {one.pid for one in self.workers()}
        except RedisError:
            return []
        return [one for one in (found.children() if found else []) if one.pid in known]

    def redis_process(self) -> psutil.Process:
        """Its embedded server."""
        found = self.part(r"valkey|redis-server")
        assert found is not None
        return found

    def wait_working(self) -> None:
        """Until it has feeds in work."""
        wait_until(lambda: self.running() > 0, 60, f"work at {self.name}")

    def said(self, pattern: str) -> int:
        """How often its log says so."""
        return len(re.findall(pattern, self.log))

    def all_gone(self) -> bool:
        """Whether no process of it is left."""
        return not living(self.processes())
