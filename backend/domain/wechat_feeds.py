"""WeChat official accounts (公众号) as feeds: WeRSS children know them by two ids that follow from one number."""

from __future__ import annotations

import base64
import binascii
import re
from urllib.parse import quote

from backend.domain.errors import CascadeError, InvalidInput
from backend.domain.feeds import WECHAT, FeedDraft, clean_name

# WeRSS's own id of a feed, and WeChat's `fakeid`: the same account's number, in base64.
FEED_ID = re.compile(r"^MP_WXS_(\d{1,20})$")
FAKER_ID = re.compile(r"^[A-Za-z0-9+/=_-]{1,255}$")
MAX_COVER = 2048
MAX_INTRO = 16_000


def draft_account(
    *, faker_id: str = "", feed_id: str = "", name: str, cover: str = "", intro: str = ""
) -> FeedDraft:
    """An account to add; one of the ids is enough. Raises `InvalidInput` naming every bad field."""
    feed_id = feed_id or _feed_id(faker_id)
    faker_id = faker_id or _faker_id(feed_id)
    troubles: dict[str, str | CascadeError] = {}
    if not FAKER_ID.match(faker_id):
        troubles["faker_id"] = InvalidInput("bad_faker_id")
    elif not FEED_ID.match(feed_id):
        troubles["id"] = InvalidInput("bad_account_id")
    if not clean_name(name):
        troubles["name"] = InvalidInput("field_missing")
    if troubles:
        raise InvalidInput(fields=troubles)
    return FeedDraft(
        id=feed_id,
        kind=WECHAT,
        name=clean_name(name),
        url=profile_url(faker_id),
        faker_id=faker_id,
        cover=cover[:MAX_COVER],
        intro=intro[:MAX_INTRO],
    )


def profile_url(faker_id: str) -> str:
    """The account's own page: what people open, and what keeps it from being added twice."""
    return f"https://mp.weixin.qq.com/mp/profile_ext?action=home&__biz={quote(faker_id, safe='=')}"


def _feed_id(faker_id: str) -> str:
    try:
        number = base64.b64decode(faker_id, validate=True).decode("ascii")
    except (binascii.Error, ValueError):
        return ""
    return f"MP_WXS_{number}" if number.isdecimal() else ""


def _faker_id(feed_id: str) -> str:
    found = FEED_ID.match(feed_id)
    return base64.b64encode(found[1].encode()).decode() if found else ""
