"""What a person can do about an account's health: pure."""

from __future__ import annotations

from datetime import datetime

from backend.domain.publishing import Health
from backend.domain.why import Why


def remedy_for(
    health: Health, *, can_log_in: bool, until: datetime | None = None, expires_at: datetime | None = None
) -> Why | None:
    """What to do, or that it passes by itself; nothing where all is well.

    `can_log_in`: the platform has a login that a person can walk through here. `until`: when a cooling account goes on.
    """
    match health:
        case Health.OK | Health.UNKNOWN:
            return None
        case Health.EXPIRING:
            if expires_at is None:
                return Why("remedy_expiring")
            return Why("remedy_expiring_at", {"moment": expires_at})
        case Health.COOLING:
            return Why("remedy_cooling") if until is None else Why("remedy_cooling_until", {"moment": until})
        case Health.NEEDS_LOGIN:
            return Why("remedy_log_in") if can_log_in else Why("remedy_log_in_browser")
        case Health.EXPIRED:
            return Why("remedy_expired_login") if can_log_in else Why("remedy_expired")
