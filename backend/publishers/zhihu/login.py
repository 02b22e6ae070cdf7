"""Logging in by a QR code that a person scans with Zhihu's app (wire 2.9)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from backend.domain.errors import WorkError
from backend.domain.ports import Desk
from backend.domain.publishing import Cookie, Credentials, LoginPrompt, LoginSight
from backend.publishers.conversation import object_of
from backend.publishers.zhihu.wire import NAME, WWW, Conversation, needed

SIGNIN = f"{WWW}/signin"
CODES = f"{WWW}/api/v3/account/api/login/qrcode"
POLL_SECONDS = 2.0
CODE_SECONDS = 120.0
WAITING, SCANNED, CONFIRMED, CANCELLED, EXPIRED = range(5)
SESSION = "z_c0"


def by_code(account_id: str, desk: Desk, prompt: Callable[[LoginSight], None]) -> tuple[Cookie, ...]:
    """Show codes until one is confirmed; the cookies of the new session. Raises `WorkError`."""
    talk = Conversation(Credentials(), desk)
    talk.call("POST", f"{WWW}/udid", referer=SIGNIN)
    while True:
        code = object_of(talk.call("POST", CODES, referer=SIGNIN))
        token = needed(code, "token")
        prompt(LoginPrompt(account_id, needed(code, "link"), _end_of(code.get("expires_at"))))
        desk.tell("login: waiting for the code to be scanned")
        if _is_confirmed(token, talk, desk):
            break
    talk.call("POST", f"{CODES}/{token}/login", referer=SIGNIN)
    if not any(one.name == SESSION for one in talk.cookies):
        raise WorkError("login_refused", permanent=True, platform=NAME, why="no session came of it")
    return talk.cookies


def _is_confirmed(token: str, talk: Conversation, desk: Desk) -> bool:
    """Wait for the person; `False` when the code ran out. Raises `WorkError`."""
    said = WAITING
    while True:
        if desk.wait(POLL_SECONDS):
            raise WorkError("publish_stopped")
        answer = object_of(talk.call("GET", f"{CODES}/{token}/scan_info", referer=SIGNIN))
        status = answer.get("status", answer.get("login_status"))
        if status == CANCELLED:
            raise WorkError("login_refused", permanent=True, platform=NAME, why="it was cancelled in the app")
        if status in {CONFIRMED, EXPIRED}:
            return bool(status == CONFIRMED)
        if status == SCANNED and said != SCANNED:
            desk.tell("login: scanned, waiting to be confirmed in the app")
        said = status if isinstance(status, int) else WAITING


def _end_of(told: object) -> datetime:
    now = datetime.now(UTC)
    if isinstance(told, int) and not isinstance(told, bool):
        ends = datetime.fromtimestamp(told, UTC) if 0 < told < 1 << 33 else now
        if ends > now:
            return ends
    return now + timedelta(seconds=CODE_SECONDS)
