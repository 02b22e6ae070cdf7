"""Credentials as people paste them: every form gives the same cookies, and no error repeats a value."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domain.credentials import (
    cookie_line,
    credentials_of,
    earliest_end,
    live_cookies,
    parse_cookies,
    renewed,
)
from backend.domain.errors import InvalidInput
from backend.domain.publishing import Cookie, CredentialKind

NOW = datetime(2026, 11, 26, tzinfo=UTC)
ENDS = datetime(2027, 1, 15, 8, 0, tzinfo=UTC)
SECRET = "s3cr3t-2|1:0|10:17"
UNIX = int(ENDS.timestamp())

LISTS = {
    "the seeds' system": [{"name": "z_c0", "value": SECRET, "domain": ".zhihu.com", "path": "/"}],
    "a browser extension": [
        {
            "domain": ".zhihu.com",
            "expirationDate": UNIX + 0.25,
            "hostOnly": False,
            "httpOnly": True,
            "name": "z_c0",
            "path": "/",
            "sameSite": "no_restriction",
            "secure": True,
            "session": False,
            "storeId": "0",
            "value": SECRET,
            "id": 1,
        }
    ],
    "Selenium": [{"name": "z_c0", "value": SECRET, "domain": "zhihu.com", "expiry": UNIX}],
    "Playwright": {"cookies": [{"name": "z_c0", "value": SECRET, "domain": ".zhihu.com", "expires": UNIX}]},
}
NETSCAPE = (
    "# Netscape HTTP Cookie File\n# https://curl.se/docs/http-cookies.html\n\n"
    f"#HttpOnly_.zhihu.com\tTRUE\t/\tTRUE\t{UNIX}\tz_c0\t{SECRET}\n"
    ".zhihu.com\tTRUE\t/\tFALSE\t0\t_xsrf\tabc\r\n"
    "www.zhihu.com\tFALSE\t/\tFALSE\t0\tempty\t\n"
)


@pytest.mark.parametrize("form", LISTS)
@pytest.mark.parametrize("as_text", [True, False], ids=["as text", "as JSON"])
def test_every_json_form_gives_the_cookie_for_its_site(form: str, as_text: bool) -> None:
    (cookie,) = parse_cookies(json.dumps(LISTS[form]) if as_text else LISTS[form])
    assert (cookie.name, cookie.value, cookie.domain, cookie.path) == ("z_c0", SECRET, "zhihu.com", "/")
    assert live_cookies([cookie], "zhuanlan.zhihu.com", NOW) == {"z_c0": SECRET}
    assert live_cookies([cookie], "notzhihu.com", NOW) == {}


@pytest.mark.parametrize(
    "expires",
    [UNIX, str(UNIX), UNIX * 1000, "2027-01-15T08:00:00Z", "Fri, 15 Jan 2027 08:00:00 GMT"],
    ids=str,
)
def test_the_end_of_a_cookie_is_read_in_every_form(expires: object) -> None:
    (cookie,) = parse_cookies([{"name": "a", "value": "b", "expires": expires}])
    assert cookie.expires == ENDS


@pytest.mark.parametrize("expires", [None, 0, -1, "", "Session", True, "nan", "1e400"], ids=str)
def test_a_cookie_without_a_readable_end_lasts_for_the_session(expires: object) -> None:
    (cookie,) = parse_cookies([{"name": "a", "value": "b", "expires": expires}])
    assert cookie.expires is None


def test_a_cookies_txt_is_read_with_its_http_only_lines() -> None:
    found = {one.name: one for one in parse_cookies(NETSCAPE)}
    assert {name: one.value for name, one in found.items()} == {"z_c0": SECRET, "_xsrf": "abc", "empty": ""}
    assert (found["z_c0"].domain, found["z_c0"].expires) == ("zhihu.com", ENDS)
    assert found["_xsrf"].expires is None


@pytest.mark.parametrize("prefix", ["", "Cookie: ", "cookie:"])
def test_a_header_line_is_read_with_and_without_its_name(prefix: str) -> None:
    found = parse_cookies(f"{prefix}z_c0={SECRET}; _xsrf=a=b; ")
    assert [(one.name, one.value, one.domain) for one in found] == [
        ("z_c0", SECRET, ""),
        ("_xsrf", "a=b", ""),
    ]


@pytest.mark.parametrize(
    ("pasted", "says"),
    [
        (f'[{{"name":"z_c0","value":"{SECRET}"', "breaks off"),
        (SECRET, "name=value"),
        (f"a=1\nz_c0={SECRET}", "several lines"),
        ([{"value": SECRET}], "number 1 of the list has no name"),
        ([{"name": "z_c0", "value": {"x": SECRET}}], "is no text"),
        (f"z_c0={SECRET}\x01", "characters that cookies can't have"),
        (f"{SECRET}é=1", "a name holds"),
        ({"z_c0": [SECRET]}, '"cookies" as a list'),
        (f"a\tb\tc\td\te\t{SECRET}\tf\tg\th", "seven fields"),
        ("", "no cookie"),
        ([], "no cookie"),
        (7, "must be a text"),
        ("a=b;" * 200_000, "too long"),
    ],
    ids=lambda one: None if not isinstance(one, str) or len(one) > 40 else one,
)
def test_what_is_no_cookie_is_told_without_its_value(pasted: object, says: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse_cookies(pasted)
    assert says in str(refused.value)
    assert "cookies.txt" in str(refused.value)
    for text in (str(refused.value), refused.value.sentence("zh"), repr(refused.value)):
        assert SECRET not in text


@given(
    st.text(max_size=200) | st.lists(st.dictionaries(st.text(max_size=6), st.text(max_size=9)), max_size=4)
)
def test_whatever_is_pasted_is_cookies_or_a_refusal(pasted: object) -> None:
    try:
        found = parse_cookies(pasted)
    except InvalidInput:
        return
    assert found
    assert "\n" not in cookie_line(found, "zhihu.com", NOW)


NAMES = st.from_regex(r"[A-Za-z0-9_]{1,12}", fullmatch=True)
VALUES = st.from_regex(r"[A-Za-z0-9|:._=-]{0,40}", fullmatch=True)


@given(st.dictionaries(NAMES, VALUES, min_size=1, max_size=8))
def test_all_forms_of_the_same_cookies_send_the_same_line(pairs: dict[str, str]) -> None:
    line = "; ".join(f"{name}={value}" for name, value in pairs.items())
    netscape = "".join(f".zhihu.com\tTRUE\t/\tTRUE\t0\t{name}\t{value}\n" for name, value in pairs.items())
    listed = [{"name": name, "value": value} for name, value in pairs.items()]
    for form in (line, netscape, listed, json.dumps(listed), pairs):
        assert cookie_line(parse_cookies(form), "www.zhihu.com", NOW) == line


def test_credentials_say_of_what_kinds_they_are() -> None:
    found = credentials_of({"cookies": "a=b", "username": "me", "password": "pw", "url": ""})
    assert found.kinds == {CredentialKind.COOKIES, CredentialKind.PASSWORD}
    assert "url" not in found.fields
    assert "pw" not in repr(found)


@pytest.mark.parametrize(
    "given", [{}, {"cookies": ""}, {"password": ["x"]}, {"token": "a\nb"}, {"token": True}], ids=str
)
def test_credentials_of_no_use_are_refused(given: dict[str, object]) -> None:
    with pytest.raises(InvalidInput):
        credentials_of(given)


def test_an_ended_cookie_is_not_sent_and_the_closest_domain_wins() -> None:
    cookies = (
        Cookie("a", "old", expires=NOW),
        Cookie("b", "site", "zhihu.com"),
        Cookie("b", "host", "www.zhihu.com"),
        Cookie("b", "everywhere"),
    )
    assert cookie_line(cookies, "www.zhihu.com", NOW) == "b=host"


def test_an_answer_renews_cookies_and_takes_them_away() -> None:
    before = (Cookie("z_c0", "old"), Cookie("d_c0", "device", "zhihu.com"), Cookie("gone", "x", "zhihu.com"))
    lines = (
        "z_c0=new; Domain=zhihu.com; Path=/; Max-Age=3600; HttpOnly; Secure",
        "gone=; Domain=.zhihu.com; Max-Age=0",
        "foreign=1; Domain=example.com",
        "nonsense",
    )
    after = renewed(before, lines, "www.zhihu.com", NOW)
    assert {one.name: one.value for one in after} == {"z_c0": "new", "d_c0": "device"}
    assert earliest_end(after, frozenset({"z_c0"})) == NOW + timedelta(hours=1)
    assert live_cookies(after, "zhuanlan.zhihu.com", NOW)["z_c0"] == "new"
    assert renewed(before, (), "www.zhihu.com", NOW) == before
