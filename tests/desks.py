"""A publisher at work on a stand-in of its platform, through the real HTTP client."""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

import pytest

from backend.domain.errors import WorkError
from backend.domain.ports import Desk, Publisher
from backend.domain.publishing import (
    AccountVerdict,
    Credentials,
    Finding,
    LoginSight,
    Manuscript,
    Prepared,
    Published,
    PublishOrder,
)
from backend.outbound.client import GuardedHttpClient
from backend.outbound.elsewhere import ElsewhereHttpClient
from tests.standins.platform import PlatformServer

Server = TypeVar("Server", bound=PlatformServer)
PNG = b"\x89PNG\r\n\x1a\n" + b"0" * 40
EMBEDDED = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"


@dataclasses.dataclass
class Desktop(Generic[Server]):
    """What the publisher told, saved and showed is kept."""

    server: Server
    publisher: Publisher
    credentials: Credentials
    told: list[str] = dataclasses.field(default_factory=list)
    saved: list[str] = dataclasses.field(default_factory=list)
    prompts: list[LoginSight] = dataclasses.field(default_factory=list)
    stopping: bool = False

    @property
    def desk(self) -> Desk:
        """A desk whose HTTP leads to the stand-in."""
        http = ElsewhereHttpClient(GuardedHttpClient(("127.0.0.0/8",), environ={}), self.server.elsewhere)
        return Desk(http, self.told.append, lambda _: self.stopping, lambda: 60.0)

    def order(self, content: str = "text", **given: Any) -> PublishOrder:
        """A publish task with an article of this content."""
        article = Manuscript("A title", content, **given)
        return PublishOrder("t", "account", self.publisher.platform, 1, self.credentials, article, key="key")

    def prepare(self, order: PublishOrder) -> Prepared:
        """Make or continue its draft."""
        return self.publisher.prepare(order, self.desk, lambda one: self.saved.append(one.draft_id))

    def submit(self, order: PublishOrder) -> tuple[PublishOrder, Prepared]:
        """Everything up to the call that publishes: the order as a later execution gets it."""
        prepared = self.prepare(order)
        known = self.publisher.recent_ids(order, self.desk)
        submitted = dataclasses.replace(
            order, draft_id=prepared.draft_id, known_ids=known, submitted_at=datetime.now(UTC)
        )
        return submitted, prepared

    def publish(self, order: PublishOrder, prepared: Prepared) -> Published:
        """The call that publishes."""
        return self.publisher.publish(order, prepared, self.desk)

    def find(self, order: PublishOrder) -> Finding:
        """Ask the platform."""
        return self.publisher.find_published(order, self.desk)

    def check(self, credentials: Credentials | None = None) -> AccountVerdict:
        """Check the account."""
        return self.publisher.check_session("account", 1, credentials or self.credentials, self.desk)

    def log_in(self) -> AccountVerdict:
        """Log in anew."""
        return self.publisher.log_in("account", 1, self.credentials, self.desk, self.prompts.append)


def failure(work: Callable[[], object]) -> WorkError:
    """The error of work that must fail."""
    with pytest.raises(WorkError) as failed:
        work()
    return failed.value
