"""WeChat accounts as feeds: either id gives the other, as WeRSS makes them."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domain.errors import InvalidInput
from backend.domain.feeds import check_url
from backend.domain.wechat_feeds import draft_account


@given(st.integers(1, 10**19).map(str))
def test_either_id_gives_the_other(number: str) -> None:
    faker_id = base64.b64encode(number.encode()).decode()
    by_faker, by_id = (
        draft_account(faker_id=faker_id, name="n"),
        draft_account(feed_id=f"MP_WXS_{number}", name="n"),
    )
    assert by_faker == by_id
    assert (by_faker.id, by_faker.faker_id, by_faker.kind) == (f"MP_WXS_{number}", faker_id, "wechat")
    assert check_url(by_faker.url) == by_faker.url


def test_both_ids_are_kept_as_they_are_given() -> None:
    draft = draft_account(faker_id="odd+/_-", feed_id="MP_WXS_7", name=" a\nb ", cover="c", intro="i")
    assert (draft.id, draft.faker_id, draft.name) == ("MP_WXS_7", "odd+/_-", "a b")
    assert "__biz=odd%2B%2F_-" in draft.url


@pytest.mark.parametrize(
    ("given", "fields"),
    [
        ({"name": "n"}, {"faker_id"}),
        ({"faker_id": "not base64!", "name": "n"}, {"faker_id"}),
        ({"faker_id": base64.b64encode(b"words").decode(), "name": "n"}, {"id"}),
        ({"feed_id": "MP_WXS_x", "faker_id": "MQ==", "name": "n"}, {"id"}),
        ({"faker_id": "MQ==", "name": "  "}, {"name"}),
        ({"faker_id": "微信", "name": ""}, {"faker_id", "name"}),
    ],
)
def test_what_is_no_account_is_named_by_field(given: dict[str, str], fields: set[str]) -> None:
    with pytest.raises(InvalidInput) as refused:
        draft_account(**given)
    assert refused.value.fields.keys() == fields
