"""The first beat of a start of a remote node: who it is, and that no other live process is it."""

from __future__ import annotations

import logging
import platform
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from backend.domain import wire
from backend.domain.errors import ConfigurationError, CredentialsRefused, ParentAway, ParentRefused
from backend.domain.protocol import INSTANCE_REFUSED, PROTOCOL, agreed
from backend.domain.reconnecting import Backoff
from backend.domain.wire import FullBeat, Heard
from backend.workers.parent import Call, Parent, understood

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Introduction:
    """`beat` is what this start says of itself."""

    parent: Parent
    beat: FullBeat
    backoff: Backoff = field(default_factory=lambda: Backoff(base=1.0, longest=30.0))
    pause: Callable[[float], object] = time.sleep

    def wait_for_answer(self) -> Heard:
        """The parent's answer, however long it takes to be there and to accept the credentials. Raises `CascadeError`."""
        failures = 0
        while True:
            try:
                return self.ask()
            except (ParentAway, CredentialsRefused) as error:
                failures += 1
                if failures == 1:
                    log.error("this child is not known to its parent yet, and waits: %s", error)  # noqa: TRY400
                self.pause(self.backoff.limit(failures) * (0.5 + random.random() / 2))  # noqa: S311

    def ask(self) -> Heard:
        """One try. Raises `CascadeError`: `refused` when another live process has this node's identity."""
        try:
            said = self.parent.call(Call("POST", "/heartbeat", wire.plain(self.beat), patience=0.0))
        except ParentRefused as error:
            if error.parent_code == INSTANCE_REFUSED:
                raise ConfigurationError("refused", sentence=error.params["detail"]) from error
            raise
        heard = understood(Heard, said.data)
        if agreed(PROTOCOL, heard.protocol) is None or not heard.slug:
            raise ConfigurationError("parent_too_old", url=self.parent.url)
        return heard


def this_machine() -> str:
    """Its name, as the parent shows it."""
    return platform.node()
