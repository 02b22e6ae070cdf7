"""Cookie first, password second, a person third: when a lost login is followed by one with the password."""

from __future__ import annotations

import pytest

from backend.domain.account_checks import logs_in_next
from backend.domain.publishing import AccountVerdict, Cookie, Credentials, Health

PASSWORD = {"username": "ana", "password": "p"}


@pytest.mark.parametrize(
    ("platform", "health", "fields", "expected"),
    [
        ("zhihu", Health.EXPIRED, PASSWORD, True),
        ("zhihu", Health.EXPIRED, {}, False),
        ("zhihu", Health.NEEDS_LOGIN, PASSWORD, False),
        ("zhihu", Health.COOLING, PASSWORD, False),
        ("zhihu", Health.OK, PASSWORD, False),
        # There the password is the credential itself: no page to walk through.
        ("wordpress", Health.EXPIRED, PASSWORD, False),
    ],
)
def test_the_password_comes_second_and_only_where_a_page_asks_for_it(
    platform: str, health: Health, fields: dict[str, str], expected: bool
) -> None:
    credentials = Credentials((Cookie("z_c0", "old"),), fields)
    assert logs_in_next(platform, AccountVerdict("a", 1, health), credentials) is expected
