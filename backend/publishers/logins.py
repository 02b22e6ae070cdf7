"""Platforms to which nobody can log in here: their credentials are entered."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from backend.domain.errors import WorkError
from backend.domain.ports import Desk
from backend.domain.publishing import AccountVerdict, Credentials, LoginSight


class WithoutLogin:
    """The part of `Publisher` that is about logging in, for platforms without a login; `called` is what people call them."""

    called: ClassVar[str]
    login_kinds: frozenset[str] = frozenset()

    def log_in(
        self,
        account_id: str,
        version: int,
        credentials: Credentials,
        desk: Desk,
        prompt: Callable[[LoginSight], None],
    ) -> AccountVerdict:
        """There is no login that could be walked. Raises `WorkError`."""
        raise WorkError("login_unknown", permanent=True, platform=self.called)
