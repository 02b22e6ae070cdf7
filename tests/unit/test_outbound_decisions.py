"""Redirects and proxies: decided without a socket."""

from __future__ import annotations

import pytest
from urllib3.util import parse_url

from backend.domain.errors import ConfigurationError, WorkError
from backend.outbound.proxies import Proxies
from backend.outbound.redirects import Hop, follow, is_secret, parse_target, sendable

SECRETS = {"Authorization": "Bearer x", "Cookie": "a=b", "X-Api-Key": "k", "X-Gitlab-Token": "t"}
HARMLESS = {"Accept": "*/*", "If-None-Match": '"e"', "User-Agent": "u"}


def get(url: str, **headers: str) -> Hop:
    return Hop("GET", url, headers, None)


@pytest.mark.parametrize(
    ("url", "location", "same"),
    [
        ("https://a.example/x", "/y", True),
        ("https://a.example/x", "https://a.example:443/y", True),
        ("https://a.example/x", "https://b.example/y", False),
        ("https://a.example/x", "https://a.example:8443/y", False),
        ("https://a.example/x", "http://a.example/x", False),
        ("http://a.example/x", "https://a.example/x", False),
    ],
)
def test_secrets_follow_only_within_the_origin(url: str, location: str, same: bool) -> None:
    hop = follow(Hop("GET", url, SECRETS | HARMLESS, None), 302, location)
    assert dict(hop.headers) == (SECRETS | HARMLESS if same else HARMLESS)


@pytest.mark.parametrize(
    ("method", "status", "expected"),
    [
        ("GET", 301, "GET"),
        ("GET", 307, "GET"),
        ("HEAD", 303, "HEAD"),
        ("POST", 301, "GET"),
        ("POST", 302, "GET"),
        ("POST", 303, "GET"),
        ("PUT", 303, "GET"),
        ("PUT", 302, "PUT"),
        ("POST", 307, "POST"),
        ("POST", 308, "POST"),
    ],
)
def test_the_method_changes_as_browsers_change_it(method: str, status: int, expected: str) -> None:
    hop = follow(Hop(method, "https://a.example/", {"Content-Type": "text/plain"}, b"body"), status, "/next")
    assert hop.method == expected
    changed = method != expected
    assert hop.body == (None if changed else b"body")
    assert ("Content-Type" in hop.headers) is not changed


def test_the_user_in_a_url_stays_with_its_origin() -> None:
    assert follow(get("https://u:p@a.example/1"), 301, "/2").url == "https://u:p@a.example/2"
    assert follow(get("https://u:p@a.example/1"), 301, "https://b.example/2").url == "https://b.example/2"


def test_the_user_in_a_url_becomes_a_header() -> None:
    hop = get("https://u:p@a.example/")
    assert sendable(hop, parse_target(hop.url), {})["authorization"] == "Basic dTpw"


def test_given_headers_replace_the_defaults_in_any_case() -> None:
    hop = Hop("GET", "https://a.example/", {"user-agent": "mine"}, None)
    assert sendable(hop, parse_target(hop.url), {"User-Agent": "ours", "Accept": "*/*"}) == {
        "Accept": "*/*",
        "user-agent": "mine",
    }


@pytest.mark.parametrize(
    "url",
    [
        "ftp://a.example/",
        "file:///etc/passwd",
        "//a.example/x",
        "a.example",
        "",
        "http://",
        "http://[::1",
        "javascript:1",
    ],
)
def test_only_complete_http_urls_are_fetched(url: str) -> None:
    with pytest.raises(WorkError) as caught:
        parse_target(url)
    assert (caught.value.code, caught.value.permanent) == ("bad_url", True)


def test_a_redirect_to_another_scheme_is_refused() -> None:
    with pytest.raises(WorkError) as caught:
        follow(get("https://a.example/"), 302, "file:///etc/passwd")
    assert caught.value.code == "bad_url"


@pytest.mark.parametrize("name", [*SECRETS, "X-Signature", "Proxy-Authorization", "Host", "X-Client-Secret"])
def test_headers_that_may_hold_a_credential_are_known(name: str) -> None:
    assert is_secret(name)


PROXIES = Proxies.from_environ(
    {
        "HTTP_PROXY": "http://plain.example:3128",
        "https_proxy": "secure.example:3129",
        "NO_PROXY": "localhost, .inner.example,10.0.0.0/8,*.wild.example,ported.example:8080",
    }
)


@pytest.mark.parametrize(
    ("url", "proxy"),
    [
        ("http://a.example/", "http://plain.example:3128"),
        ("https://a.example/", "http://secure.example:3129"),
        ("http://localhost:1/", ""),
        ("http://inner.example/", ""),
        ("http://x.inner.example/", ""),
        ("http://notinner.example/", "http://plain.example:3128"),
        ("http://10.2.3.4/", ""),
        ("http://11.2.3.4/", "http://plain.example:3128"),
        ("https://x.wild.example/", ""),
        ("http://ported.example:8080/", ""),
        ("http://ported.example/", "http://plain.example:3128"),
    ],
)
def test_the_proxy_follows_from_scheme_and_exemptions(url: str, proxy: str) -> None:
    assert PROXIES.choose(parse_url(url)) == proxy


def test_a_star_exempts_everything_and_lower_case_wins() -> None:
    environ = {"http_proxy": "http://low.example", "HTTP_PROXY": "http://high.example"}
    assert Proxies.from_environ(environ).choose(parse_url("http://a.example")) == "http://low.example"
    assert Proxies.from_environ(environ | {"no_proxy": "*"}).choose(parse_url("http://a.example")) == ""


def test_a_proxy_of_another_kind_is_refused_with_a_sentence() -> None:
    with pytest.raises(ConfigurationError, match="HTTPS_PROXY"):
        Proxies.from_environ({"HTTPS_PROXY": "socks5://user:secret@proxy.example:1080"})
