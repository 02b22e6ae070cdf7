"""Walks through Zhihu's sign-in page in a real browser: a program of its own, so that its end is the browser's end.

    python -m backend.publishers.zhihu.browser

Reads one JSON object from its standard input (`url`, `program`, `username`, `password`, `seconds`): nothing secret is in its
arguments. Writes one to its standard output: `ending` (see `Ending`), `detail`, `cookies` as Playwright gives them, and `screenshot`,
a JPEG in base64, where a person may want to see why it ended. Places on the page: wire 2.9.
"""

from __future__ import annotations

import base64
import json
import os
import sys
import time
from enum import StrEnum
from typing import Any

from playwright.sync_api import BrowserContext, Error, Locator, Page, sync_playwright

SESSION = "z_c0"
TAB = "密码登录"
USERNAME, PASSWORD = "input[name=username]", "input[type=password]"
SUBMIT = "button[type=submit]"
HUMAN_PAGE = "/account/unhuman"
CAPTCHAS = "[class*=yidun_popup], [class*=yidun_modal], .yidun_panel, .Captcha, [class*=captcha]"
REFUSALS = ".SignFlowInput-errorMask, .SignFlow-error, .Notification-textSection, [role=alert]"
FIND_SECONDS = 5.0
LOOK_MILLISECONDS = 200.0
OPTIONS = ("--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync")


class Ending(StrEnum):
    """How the walk ended."""

    LOGGED_IN = "logged_in"
    HUMAN_CHECK = "human_check"
    REFUSED = "refused"
    CHANGED = "changed"
    NO_ANSWER = "no_answer"


def walk(page: Page, order: dict[str, Any]) -> tuple[Ending, str]:
    """Fill in the form and wait for what comes of it."""
    page.goto(order["url"], wait_until="domcontentloaded")
    if _wants_a_person(page):
        return Ending.HUMAN_CHECK, ""
    missing = _fill(page, order)
    if missing:
        return (Ending.HUMAN_CHECK, "") if _wants_a_person(page) else (Ending.CHANGED, missing)
    end = time.monotonic() + order["seconds"]
    while time.monotonic() < end:
        if _session(page.context):
            return Ending.LOGGED_IN, ""
        if _wants_a_person(page):
            return Ending.HUMAN_CHECK, ""
        said = _words(page)
        if said:
            return Ending.REFUSED, said
        page.wait_for_timeout(LOOK_MILLISECONDS)
    return Ending.NO_ANSWER, ""


def _fill(page: Page, order: dict[str, Any]) -> str:
    """What the page lacks, empty when the form was sent."""
    tab = page.get_by_text(TAB, exact=True).first
    # The page begins with a code to scan, unless it remembers the last way.
    if not _appears(page.locator(PASSWORD).first.or_(tab).first):
        return f"no tab {TAB}"
    if not page.locator(PASSWORD).first.is_visible():
        _click(tab)
    for place, value in ((USERNAME, order["username"]), (PASSWORD, order["password"])):
        if not _appears(page.locator(place).first):
            return f"no field {place}"
        page.locator(place).first.fill(value)
    return "" if _click(page.locator(SUBMIT).first) else f"no button {SUBMIT}"


def _appears(place: Locator) -> bool:
    try:
        place.wait_for(state="visible", timeout=FIND_SECONDS * 1000)
    except Error:
        return False
    return True


def _click(place: Locator) -> bool:
    try:
        place.click(timeout=FIND_SECONDS * 1000)
    except Error:
        return False
    return True


def _wants_a_person(page: Page) -> bool:
    return HUMAN_PAGE in page.url or any(one.is_visible() for one in page.locator(CAPTCHAS).all())


def _words(page: Page) -> str:
    shown = [one.inner_text().strip() for one in page.locator(REFUSALS).all() if one.is_visible()]
    return " ".join(filter(None, shown))[:200]


def _session(context: BrowserContext) -> bool:
    return any(one.get("name") == SESSION and one.get("value") for one in context.cookies())


def main() -> int:
    """Do what standard input says; the exit code is 0 unless the browser itself failed."""
    order = json.load(sys.stdin)
    # A browser of root refuses to start with its sandbox.
    options = [*OPTIONS, *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=order["program"], args=options)
        page = browser.new_page(locale="zh-CN")
        try:
            ending, detail = walk(page, order)
        except Error as error:
            ending, detail = Ending.NO_ANSWER, error.message.splitlines()[0][:200]
        told: dict[str, Any] = {"ending": ending, "detail": detail}
        if ending is Ending.LOGGED_IN:
            told["cookies"] = page.context.cookies()
        else:
            image = page.screenshot(type="jpeg", quality=50)
            told["screenshot"] = base64.b64encode(image).decode()
        browser.close()
    sys.stdout.write(json.dumps(told))
    return 0


if __name__ == "__main__":
    sys.exit(main())
