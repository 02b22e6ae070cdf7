"""Masks show what a secret is for, and nothing of it."""

from __future__ import annotations

import json

import pytest

from backend.api.masking import mask_cookies, mask_headers, mask_url


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("", ""),
        ("https://hooks.example.com/SECRET?token=SECRET", "https://hooks.example.com/***"),
        ("http://user:SECRET@10.0.0.1:8080/x", "http://10.0.0.1/***"),
        ("dingtalk://SECRET/", "dingtalk://***"),
        ("barks://bark.example.com/SECRET", "barks://***"),
        ("tgram://123:SECRET/456", "tgram://***"),
    ],
)
def test_of_an_address_only_scheme_and_web_host_show(url: str, shown: str) -> None:
    assert mask_url(url) == shown


def test_names_of_headers_show_and_values_do_not() -> None:
    assert json.loads(mask_headers('{"X-Token": "SECRET", "Authorization": "Bearer SECRET"}')) == {
        "X-Token": "***",
        "Authorization": "***",
    }
    assert mask_headers("") == ""


def test_names_of_cookies_show_and_values_do_not() -> None:
    assert mask_cookies("session=SECRET; theme=a=b") == "session=***; theme=***"
    assert mask_cookies("") == ""
