"""Whose publishing somebody may see: one's own, admins everybody's."""

from __future__ import annotations

from backend.api.context import asker
from backend.domain.errors import Forbidden


def owner() -> str | None:
    """Whose things the person may see and change; `None`: everybody's."""
    return None if asker().role == "admin" else asker().id


def whose(asked: str | None) -> str | None:
    """Whose things a list shows; `None`: everybody's. Raises `Forbidden` for somebody else's."""
    mine = owner()
    if mine is None:
        return asked
    if asked not in {None, mine}:
        raise Forbidden(role=asker().role, needed="admin")
    return mine
