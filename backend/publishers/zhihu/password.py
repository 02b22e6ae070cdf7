"""Logging in with a password, through Zhihu's own page in the machine's Chromium (wire 2.9).

Needs the extra `browser` and a Chromium; the browser runs in a process of its own and gets its secrets on its standard input.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from importlib.util import find_spec
from typing import Any

from backend.domain.credentials import parse_cookies
from backend.domain.errors import WorkError
from backend.domain.ports import Desk
from backend.domain.publishing import AccountVerdict, Cookie, Credentials, Health, LoginScreenshot, LoginSight
from backend.domain.secrecy import excerpt
from backend.publishers import refusing
from backend.publishers.zhihu.login import SIGNIN
from backend.publishers.zhihu.wire import NAME, WWW

PROGRAM_OPTION, PAGE_OPTION = "zhihu.browser", "zhihu.signin"
PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
DOMAIN = "zhihu.com"
WALKER = "backend.publishers.zhihu.browser"
# The page's own times for finding its fields come on top.
ANSWER_SECONDS = 30.0
WALK_SECONDS = 90.0
LOOK_SECONDS = 0.2
BROWSER_VARIABLES = (
    *("PATH", "PYTHONPATH", "HOME", "TMPDIR", "LANG", "LC_ALL", "TZ", "DISPLAY"),
    *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"),
)


def by_password(
    account_id: str,
    version: int,
    credentials: Credentials,
    desk: Desk,
    show: Callable[[LoginSight], None],
) -> tuple[Cookie, ...] | AccountVerdict:
    """The cookies of the new session; else a verdict that a person is needed, and why. Raises `WorkError` only for a stop.

    Nothing of this is tried again by itself: a password that is typed in again and again locks its account.
    """
    desk.tell("login: opening the browser")
    try:
        told = _walk(_order(credentials, desk.options), desk)
        if told.get("screenshot"):
            show(LoginScreenshot(account_id, str(told["screenshot"])))
        return _cookies(told, credentials, relayed=PAGE_OPTION in desk.options)
    except WorkError as error:
        if error.code == "publish_stopped":
            raise
        return AccountVerdict(account_id, version, Health.NEEDS_LOGIN, error.code, str(error))


def _cookies(told: dict[str, Any], credentials: Credentials, *, relayed: bool) -> tuple[Cookie, ...]:
    """What the browser brought. Raises `WorkError` for every other ending."""
    detail = excerpt(str(told.get("detail") or ""), refusing.secrets_of(credentials))
    match told.get("ending"):
        case "logged_in":
            cookies = parse_cookies(told["cookies"])
            # Where a relay showed the page, the browser took its host for Zhihu.
            return tuple(replace(one, domain=DOMAIN) for one in cookies) if relayed else cookies
        case "human_check":
            raise WorkError("login_required", platform=NAME, place=f"{WWW}/signin")
        case "refused":
            raise WorkError("password_refused", platform=NAME, detail=detail)
        case "changed":
            raise WorkError("login_page_changed", platform=NAME, what=detail)
        case _:
            raise WorkError("login_page_silent", platform=NAME, detail=detail)


def _order(credentials: Credentials, options: Mapping[str, str]) -> dict[str, Any]:
    if find_spec("playwright") is None:
        raise WorkError("browser_missing", permanent=True, platform=NAME, what="Playwright")
    program = options.get(PROGRAM_OPTION) or next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        raise WorkError("browser_missing", permanent=True, platform=NAME, what="Chromium")
    return {
        "url": options.get(PAGE_OPTION) or SIGNIN,
        "program": program,
        "username": credentials.fields.get("username", ""),
        "password": credentials.fields["password"],
        "seconds": ANSWER_SECONDS,
    }


def _walk(order: dict[str, Any], desk: Desk) -> dict[str, Any]:
    """Run the browser until it has an answer, the time is over or the work must stop. Raises `WorkError`."""
    with subprocess.Popen(
        [sys.executable, "-m", WALKER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        # The secrets of this process are none of the browser's.
        env={name: os.environ[name] for name in BROWSER_VARIABLES if name in os.environ},
        text=True,
        start_new_session=True,
    ) as walker:
        assert walker.stdin is not None  # noqa: S101 - it is a pipe, made a line above
        walker.stdin.write(json.dumps(order))
        walker.stdin.close()
        walker.stdin = None
        end = time.monotonic() + min(WALK_SECONDS, desk.seconds_left())
        try:
            while True:
                try:
                    answer, _ = walker.communicate(timeout=LOOK_SECONDS)
                    break
                except subprocess.TimeoutExpired:
                    _go_on(desk, end)
        finally:
            # The browser is of its group.
            with suppress(ProcessLookupError):
                os.killpg(walker.pid, signal.SIGKILL)
    try:
        told = json.loads(answer)
    except ValueError:
        raise WorkError("browser_failed", platform=NAME) from None
    return told if isinstance(told, dict) else {}


def _go_on(desk: Desk, end: float) -> None:
    if desk.wait(0):
        raise WorkError("publish_stopped")
    if time.monotonic() > end:
        raise WorkError("login_page_silent", platform=NAME, detail="")
