"""Having an account checked or logged in, and waiting for what comes of it."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import segno

from backend.cli.language import say
from backend.cli.output import note
from backend.cli.waiting import Patience, alive
from backend.dispatch import progress
from backend.dispatch.queues import try_wake
from backend.domain.errors import Unavailable
from backend.domain.publishing import Errand
from backend.store import account_errands
from backend.store import accounts as store
from backend.store.session import read, transact

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from backend.cli.opening import Place
    from backend.store.account_errands import ErrandView
    from backend.store.accounts import AccountView

POLL_SECONDS = 0.5
WAIT_SECONDS = 600.0

Look = Callable[["Place", "AccountView"], None]


def ask(place: Place, account_id: str, errand: Errand) -> None:
    """Ask for it; the account's own node does it."""
    transact(place.engine, lambda session: store.want_errand(session, account_id, errand))
    try_wake(place.redis)


def await_errand(place: Place, account_id: str, look: Look | None = None) -> tuple[AccountView, str]:
    """The account when its check or login has ended, and why that could not be done.

    Raises `Unavailable` when it can't end, or takes too long.
    """
    patience, ends = Patience(), time.monotonic() + WAIT_SECONDS
    # What an earlier visit said last is not news.
    last = progress.read(place.redis, [account_id]).get(account_id, "")
    while True:
        view, visit = read(place.engine, lambda session: _look(session, account_id))
        if view.errand_wanted is None and (visit is None or visit.ended_at is not None):
            return view, visit.error_message if visit else ""
        if look:
            look(place, view)
        last = _say_progress(place, account_id, last)
        beat, node = read(place.engine, alive)
        if reason := patience.spent(beat=beat, node=node):
            raise Unavailable("wait_given_up", reason=reason)
        if time.monotonic() > ends:
            raise Unavailable("visit_takes_long")
        time.sleep(POLL_SECONDS)


def _look(session: Session, account_id: str) -> tuple[AccountView, ErrandView | None]:
    visits = (one for one in account_errands.errands_of(session, account_id) if one.errand)
    return store.get_account(session, account_id), next(visits, None)


def _say_progress(place: Place, account_id: str, last: str) -> str:
    said = progress.read(place.redis, [account_id]).get(account_id, last)
    if said != last:
        note(said)
    return said


class CodeShown:
    """Shows each new code once, as large as the terminal has to be."""

    def __init__(self, write: Callable[[str], None] = note) -> None:
        self._write = write
        self._last = ""

    def __call__(self, place: Place, view: AccountView) -> None:
        """Show the account's code, if there is one that was not shown yet."""
        cipher = place.cipher
        prompt = read(place.engine, lambda session: store.login_prompt(session, cipher, view.id))
        if prompt is None or prompt.link == self._last:
            return
        self._last = prompt.link
        drawn = io.StringIO()
        segno.make(prompt.link, error="m", micro=False).terminal(out=drawn, compact=True, border=2)
        self._write(drawn.getvalue().rstrip("\n"))
        left = (prompt.expires_at - datetime.now(UTC)).total_seconds()
        self._write(say("scan_code", platform=view.platform, seconds=max(0, round(left))))
