"""What an error of Redis means: away for now, set up wrongly, or a bug of ours. Pure: it is told words, not exceptions."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

from backend.domain.messages import render


class FaultKind(Enum):
    """What to do about it: wait, tell a person at once, or mend the code."""

    AWAY = "away"
    CONFIGURATION = "configuration"
    BUG = "bug"


@dataclass(frozen=True, slots=True)
class RedisFault:
    """One fault: its kind, the code of its sentence, and Redis' own words."""

    kind: FaultKind
    code: str
    detail: str

    @property
    def passes(self) -> bool:
        """Whether trying again can succeed without a change of our code."""
        return self.kind is not FaultKind.BUG

    def sentence(self, language: str = "en") -> str:
        """What happened and what to do, in `en` or `zh`."""
        return render(self.code, language, {"detail": self.detail})


AWAY, CONFIGURATION = FaultKind.AWAY, FaultKind.CONFIGURATION
# By the first word of an error reply: https://redis.io/docs/latest/develop/reference/protocol-spec/#simple-errors
REPLIES: dict[str, tuple[FaultKind, str]] = {
    "BUSY": (AWAY, "redis_fault_busy"),
    "CLUSTERDOWN": (AWAY, "redis_fault_failover"),
    "LOADING": (AWAY, "redis_fault_loading"),
    "MASTERDOWN": (AWAY, "redis_fault_failover"),
    "MISCONF": (AWAY, "redis_fault_disk"),
    "NOREPLICAS": (AWAY, "redis_fault_failover"),
    "OOM": (AWAY, "redis_fault_full"),
    "READONLY": (AWAY, "redis_fault_read_only"),
    "TRYAGAIN": (AWAY, "redis_fault_failover"),
    # A blocked pop of a server that has just become a replica.
    "UNBLOCKED": (AWAY, "redis_fault_read_only"),
    "NOAUTH": (CONFIGURATION, "redis_fault_password"),
    "WRONGPASS": (CONFIGURATION, "redis_fault_password"),
    "NOPERM": (CONFIGURATION, "redis_fault_permission"),
}
TEXTS: tuple[tuple[str, FaultKind, str], ...] = (
    ("max number of clients", AWAY, "redis_fault_clients"),
    ("invalid password", CONFIGURATION, "redis_fault_password"),
    ("Client sent AUTH, but no password is set", CONFIGURATION, "redis_fault_password"),
    ("CERTIFICATE_VERIFY_FAILED", CONFIGURATION, "redis_fault_certificate"),
)
# Redis before 7 wraps what a command said inside a script; all wrap what spoils a transaction at its end.
WRAPPED = re.compile(r"(?:@user_script: ?\d+|discarded because of): ?-?([A-Z]+)\b")


def fault_of_reply(word: str, text: str) -> RedisFault:
    """What an error reply means, by its first word and its text."""
    inside = WRAPPED.search(text)
    known = REPLIES.get(inside[1] if word not in REPLIES and inside else word)
    if known is not None:
        return RedisFault(*known, text)
    return _by_text(text) or RedisFault(FaultKind.BUG, "redis_fault_unknown", f"{word} {text}".strip())


def fault_of_silence(text: str) -> RedisFault:
    """What it means that there was no reply: refused, cut, timed out, or not let in."""
    return _by_text(text) or RedisFault(AWAY, "redis_fault_silent", text)


def _by_text(text: str) -> RedisFault | None:
    for words, kind, code in TEXTS:
        if words in text:
            return RedisFault(kind, code, text)
    return None
