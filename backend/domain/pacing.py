"""How often an account may publish: each platform's usual pace, and what an account sets for itself. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from backend.domain.publishing import Credentials

DAY_SECONDS = 86_400.0


@dataclass(frozen=True, slots=True)
class Pace:
    """The least time between two submissions of an account, and how many it may have in any 24 hours; 0: any number."""

    gap_seconds: float = 0.0
    daily_limit: int = 0


# What the platforms' users report: faster accounts meet captchas. Our own receivers need no such care.
PACES: Mapping[str, Pace] = {
    "zhihu": Pace(60.0, 20),
    "csdn": Pace(60.0, 10),
    "webhook": Pace(),
    "wordpress": Pace(),
    "metaweblog": Pace(),
}
OTHERS = Pace(60.0, 20)
# What Zhihu's OpenAPI gives a person and day (wire 2.8).
OPEN_API_ARTICLES = 50


def budget_of(platform: str, credentials: Credentials, own_daily_limit: int | None = None) -> int | None:
    """A new account's own daily limit, else what the platform says that such credentials are good for."""
    if own_daily_limit is not None:
        return own_daily_limit
    return OPEN_API_ARTICLES if platform == "zhihu" and credentials.fields.get("app_key") else None


def pace_of(platform: str, own_gap_seconds: float | None = None, own_daily_limit: int | None = None) -> Pace:
    """The platform's pace, as far as the account has none of its own."""
    usual = PACES.get(platform, OTHERS)
    gap = usual.gap_seconds if own_gap_seconds is None else own_gap_seconds
    limit = usual.daily_limit if own_daily_limit is None else own_daily_limit
    return Pace(float(gap), limit)
