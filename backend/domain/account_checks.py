"""When accounts are looked at without being asked: pure, with chance as an argument."""

from __future__ import annotations

from collections.abc import Mapping

from backend.domain.publishing import AccountVerdict, CredentialKind, Credentials, Health

HOUR = 3600.0

# A login that is lost is noticed within hours and not with the next article; our own receivers hold none.
INTERVALS: Mapping[str, float] = {
    "webhook": 24 * HOUR,
    "wordpress": 24 * HOUR,
    "metaweblog": 24 * HOUR,
}
USUAL = 6 * HOUR
SPREAD = 0.4
# Where a password walks through a login page; elsewhere it is the credential itself.
PASSWORD_LOGINS = frozenset({"zhihu"})


def logs_in_next(platform: str, verdict: AccountVerdict, credentials: Credentials) -> bool:
    """Whether a lost login is followed by one with the password: cookie first, password second, a person third."""
    walkable = platform in PASSWORD_LOGINS and CredentialKind.PASSWORD in credentials.kinds
    return walkable and verdict.health is Health.EXPIRED and verdict.refreshed is None


def check_interval(platform: str, chance: float) -> float:
    """Seconds until the next check of an account; `chance` in [0, 1) spreads it over 80-120 %, so that accounts that were
    added together are not looked at together.
    """
    return INTERVALS.get(platform, USUAL) * (1 - SPREAD / 2 + SPREAD * chance)
