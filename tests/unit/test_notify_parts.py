"""Sizes, secrets and signatures of messages."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domain.orders import DeliveryOrder
from backend.domain.receivers import Kind
from backend.domain.rendering import mock_order
from backend.domain.secrecy import EXCERPT, excerpt
from backend.notify.robot_plugins import feishu_signature
from backend.notify.secrecy import secrets_of
from backend.notify.sizes import ALLOWANCES, ELLIPSIS, cut_to, fit

TEXT = st.text(alphabet=st.characters(codec="utf-8"), max_size=300)


@given(TEXT, st.integers(3, 400), st.booleans())
def test_a_cut_text_fits_and_is_as_long_as_possible(text: str, size: int, as_json: bool) -> None:
    def measure(part: str) -> int:
        return len((json.dumps(part, ensure_ascii=False)[1:-1] if as_json else part).encode())

    cut = cut_to(text, size, as_json=as_json)
    assert measure(cut) <= size
    if cut != text:
        kept = cut.removesuffix(ELLIPSIS)
        assert text.startswith(kept)
        following = text[: len(kept) + 1].rstrip()
        assert following == kept or measure(following + ELLIPSIS) > size or following.isspace()


@pytest.mark.parametrize("kind", sorted(ALLOWANCES))
@pytest.mark.parametrize("letter", ["a", "文", "😀", '"', "\n."])
def test_long_bodies_are_cut_to_a_robots_bytes_with_a_warning(kind: Kind, letter: str) -> None:
    title, body, warning = fit(kind, "T" * 300, letter * 30_000)
    assert len(title) == 100
    assert body.endswith(ELLIPSIS)
    assert len(body.encode()) <= ALLOWANCES[kind].size
    assert warning.startswith(f"truncated: {kind} takes {ALLOWANCES[kind].size} bytes")


def test_what_fits_is_left_alone() -> None:
    assert fit(Kind.WECOM, "Title", "文" * 1365) == ("Title", "文" * 1365, "")
    assert fit(Kind.APPRISE, "Title", "x" * 100_000) == ("Title", "x" * 100_000, "")


def delivery(url: str, headers: str = "", cookies: str = "") -> DeliveryOrder:
    """A delivery with secrets at these places."""
    order = mock_order("", 1, web_hook_url=url)
    return DeliveryOrder(
        **{name: getattr(order, name) for name in DeliveryOrder.__slots__}
        | {"headers": headers, "cookies": cookies}
    )


@pytest.mark.parametrize(
    ("order", "answer", "shown"),
    [
        (delivery("https://x.example/hook?token=s3cr3t-token"), "bad s3cr3t-token", "bad ***"),
        (delivery("https://x.example/services/T0000000000000"), "no T0000000000000 here", "no *** here"),
        (delivery("https://me:passw0rd@x.example/"), "passw0rd?", "***?"),
        (delivery("https://x.example/?token=a%2Fb%2Fc%2Fd"), "a/b/c/d a%2Fb%2Fc%2Fd", "*** ***"),
        (delivery("https://x.example/", '{"Authorization": "Bearer abcdefgh"}'), "got abcdefgh", "got ***"),
        (delivery("https://x.example/", '{"Content-Type": "text/plain"}'), "no text/plain", "no text/plain"),
        (delivery("https://x.example/", "", "sid=abcdefgh; x=1"), "sid abcdefgh x 1", "sid *** x 1"),
        (delivery("tgram://123456789:AAbbCC/42"), "AAbbCC 123456789", "*** ***"),
        (delivery("https://x.example/hook"), "a\r\n\x00 b", "a b"),
    ],
)
def test_an_answer_that_repeats_a_secret_does_not_tell_it(
    order: DeliveryOrder, answer: str, shown: str
) -> None:
    assert excerpt(answer, secrets_of(order)) == shown


def test_an_excerpt_is_short_even_where_secrets_were_long() -> None:
    secrets = secrets_of(delivery("https://x.example/?a=" + "S" * 300))
    text = excerpt(("S" * 300 + " and ") * 50, secrets)
    assert len(text) <= EXCERPT
    assert "S" not in text


def test_feishus_signature_is_the_one_of_its_documentation() -> None:
    # key = "1599360473\ndemo", empty message; computed with openssl dgst -sha256 -mac HMAC.
    assert feishu_signature("", 1599360473) == {}
    assert feishu_signature("demo", 1599360473) == {
        "timestamp": "1599360473",
        "sign": "l1N0gAcBjdwBvGm1xMjOF0XSyaLRpR7tuO5dHfhAYc8=",
    }
