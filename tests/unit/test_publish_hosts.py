"""Platforms that are told to be elsewhere: the setting, and where requests go in truth."""

from __future__ import annotations

from pathlib import Path

import pytest

from backend.bootstrap import build_publishing_http
from backend.domain.errors import WorkError
from backend.domain.ports import HttpRequest, HttpResponse
from backend.outbound.elsewhere import ElsewhereHttpClient
from config import load
from config_values import SettingError


class Recording:
    """A client that keeps the addresses it was asked for."""

    def __init__(self) -> None:
        self.urls: list[str] = []

    def send(self, request: HttpRequest) -> HttpResponse:
        """Answer anything."""
        self.urls.append(request.url)
        return HttpResponse(200, {}, b"", request.url, request.url)


@pytest.mark.parametrize(
    ("asked", "goes_to"),
    [
        ("https://www.zhihu.com/api/v4/me?a=1&b=%20", "http://127.0.0.1:9/www.zhihu.com/api/v4/me?a=1&b=%20"),
        ("https://WWW.ZHIHU.COM", "http://127.0.0.1:9/www.zhihu.com/"),
        ("https://zhuanlan.zhihu.com/p/1", "https://zhuanlan.zhihu.com/p/1"),
        ("https://www.zhihu.com:8443/p/1", "https://www.zhihu.com:8443/p/1"),
    ],
)
def test_only_the_named_host_is_elsewhere(asked: str, goes_to: str) -> None:
    inner = Recording()
    http = ElsewhereHttpClient(inner, {"www.zhihu.com": "http://127.0.0.1:9/www.zhihu.com/"})
    http.send(HttpRequest("GET", asked))
    assert inner.urls == [goes_to]


def test_the_setting_leads_there_and_the_guard_still_looks(tmp_path: Path) -> None:
    told = "www.zhihu.com=http://127.0.0.1:9/www.zhihu.com, zhuanlan.zhihu.com=https://relay.example.com"
    settings = load(data_dir=tmp_path, environ={"CASCADE_PUBLISH_HOSTS": told})
    assert len(settings.publish_hosts) == 2
    with pytest.raises(WorkError) as refused:
        build_publishing_http(settings).send(HttpRequest("GET", "https://www.zhihu.com/"))
    assert refused.value.code == "egress_refused"


@pytest.mark.parametrize(
    "told", ["www.zhihu.com", "www.zhihu.com=ftp://x", "=https://x", "a=https://x?q=1", "a=b=c"]
)
def test_what_is_no_relay_stops_the_start(told: str, tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="CASCADE_PUBLISH_HOSTS"):
        load(data_dir=tmp_path, environ={"CASCADE_PUBLISH_HOSTS": told})
