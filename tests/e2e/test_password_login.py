"""The password login of Zhihu in a real Chromium, against a stand-in of its sign-in page."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import replace

import pytest

from backend.cli.testing import find_program
from backend.domain.errors import WorkError
from backend.domain.ports import Desk
from backend.domain.publishing import AccountVerdict, Cookie, Credentials, Health, LoginScreenshot, LoginSight
from backend.outbound.client import GuardedHttpClient
from backend.outbound.elsewhere import ElsewhereHttpClient
from backend.publishers.zhihu.ways import Zhihu
from tests.standins.zhihu import ZhihuServer
from tests.standins.zhihu_signin import SigninServer

USERNAME, PASSWORD, SESSION = "alice@example.com", "a pass-phrase of 知乎", "z-c0-of-the-new-session"
FIELDS = {"username": USERNAME, "password": PASSWORD}


@pytest.fixture
def page() -> Iterator[SigninServer]:
    """The sign-in page."""
    with SigninServer(USERNAME, PASSWORD, SESSION) as server:
        yield server


class Login:
    """One try of one account."""

    def __init__(self, page: SigninServer, platform: ZhihuServer) -> None:
        http = ElsewhereHttpClient(GuardedHttpClient(("127.0.0.0/8",), environ={}), platform.elsewhere)
        options = {"zhihu.signin": page.url, "zhihu.browser": str(find_program("chromium"))}
        self.seen: list[LoginSight] = []
        self.desk = Desk(http, lambda _: None, lambda _: False, lambda: 120.0, options)

    def run(self, **fields: str) -> AccountVerdict:
        """Log in with these instead of the right ones."""
        credentials = Credentials((Cookie("z_c0", "an old one"),), FIELDS | fields)
        return Zhihu().log_in("account", 4, credentials, self.desk, self.seen.append)

    def picture(self) -> bytes:
        """The one screenshot that a person is shown."""
        [sight] = self.seen
        assert isinstance(sight, LoginScreenshot)
        return base64.b64decode(sight.image)


@pytest.fixture
def login(page: SigninServer) -> Iterator[Login]:
    """A login whose session the platform will know."""
    with ZhihuServer() as platform:
        platform.add_account("alice", secret=SESSION)
        yield Login(page, platform)


def test_the_right_password_brings_new_cookies_and_keeps_the_password(
    page: SigninServer, login: Login
) -> None:
    verdict = login.run()
    assert page.attempts == [FIELDS]
    assert (verdict.health, verdict.profile, verdict.credential_version) == (Health.OK, "alice", 4)
    assert verdict.refreshed is not None
    assert {one.name: one.value for one in verdict.refreshed.cookies}["z_c0"] == SESSION
    assert verdict.refreshed.fields == FIELDS
    assert login.seen == []


def test_a_wrong_password_needs_a_person_and_is_never_repeated_in_words(
    page: SigninServer, login: Login
) -> None:
    verdict = login.run(password="wrong-password")
    assert (verdict.health, verdict.code) == (Health.NEEDS_LOGIN, "password_refused")
    assert "账号或密码错误" in verdict.reason
    assert "wrong-password" not in verdict.reason
    assert len(page.attempts) == 1
    assert login.picture().startswith(b"\xff\xd8")


@pytest.mark.parametrize("mode", ["captcha", "unhuman"])
def test_a_human_check_needs_a_person_who_can_see_it(page: SigninServer, login: Login, mode: str) -> None:
    page.mode = mode
    verdict = login.run()
    assert (verdict.health, verdict.code) == (Health.NEEDS_LOGIN, "login_required")
    assert login.picture().startswith(b"\xff\xd8")


def test_a_changed_page_is_named_with_what_it_lacks(page: SigninServer, login: Login) -> None:
    page.mode = "changed"
    verdict = login.run()
    assert (verdict.health, verdict.code) == (Health.NEEDS_LOGIN, "login_page_changed")
    assert "input[name=username]" in verdict.reason
    assert page.attempts == []
    assert login.picture().startswith(b"\xff\xd8")


def test_a_stop_ends_the_browser_and_says_nothing_about_the_account(page: SigninServer, login: Login) -> None:
    login.desk = replace(login.desk, wait=lambda _: True)
    with pytest.raises(WorkError) as stopped:
        login.run()
    assert stopped.value.code == "publish_stopped"
    assert page.attempts == []


def test_without_a_browser_the_sentence_says_what_to_install(
    login: Login, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    login.desk = Desk(login.desk.http, lambda _: None, lambda _: False, lambda: 120.0, {})
    verdict = login.run()
    assert (verdict.health, verdict.code) == (Health.NEEDS_LOGIN, "browser_missing")
    assert "Chromium" in verdict.reason
