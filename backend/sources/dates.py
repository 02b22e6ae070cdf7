"""The dates that feeds write, as aware UTC datetimes."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from email.utils import parsedate_tz

CHINA = timezone(timedelta(hours=8))
EARLIEST = datetime(1990, 1, 1, tzinfo=UTC)
FUTURE_TOLERANCE = timedelta(days=1)

_ZONES = {"Z": UTC, "UT": UTC, "UTC": UTC, "GMT": UTC, "HKT": CHINA, "SGT": CHINA}
_ZONES |= {"JST": timezone(timedelta(hours=9)), "KST": timezone(timedelta(hours=9))}
_NUMERIC = re.compile(
    r"(\d{4})[-/.年](\d{1,2})[-/.月](\d{1,2})日?"
    r"(?:[T,\s]*(上午|下午|晚上)?\s*(\d{1,2})[:：时點点](\d{1,2})?(?:[:：分](\d{1,2}))?[秒分]?(?:[.,]\d+)?)?"
    r"\s*\(?(?:(?:GMT|UTC)(?=[+-]))?(Z|[A-Z]{2,5}|[+-]\d{1,2}(?::?\d{2})?)?\)?"
)
_CHINA_STANDARD = re.compile(r"\bCST\b|北京时间")


def parse_date(text: str, *, chinese: bool, now: datetime) -> datetime | None:
    """The time that a feed means, in UTC; `None` when it can't be told or can't be true.

    `chinese`: CST and times without a zone are China's; elsewhere CST is America's (RFC 822) and no zone is UTC.
    """
    text = text.strip()
    if not text:
        return None
    try:
        found = _read(text, CHINA if chinese else UTC, chinese=chinese)
        return _sane(found.astimezone(UTC), now) if found else None
    except (ValueError, OverflowError):
        return None


def _read(text: str, local: tzinfo, *, chinese: bool) -> datetime | None:
    if text.isdigit() and len(text) in {10, 13}:
        return datetime.fromtimestamp(int(text[:10]), UTC)
    if chinese and _CHINA_STANDARD.search(text):
        text, local = _CHINA_STANDARD.sub("", text).strip(), CHINA
    return _iso(text, local) or _numeric(text, local) or _rfc822(text, local)


def _iso(text: str, local: tzinfo) -> datetime | None:
    if not text[:4].isdigit() or len(text) < 10:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=local)


def _numeric(text: str, local: tzinfo) -> datetime | None:
    match = _NUMERIC.match(text)
    if match is None:
        return None
    year, month, day, half, hour, minute, second, zone = match.groups()
    hours = int(hour or 0)
    if half in {"下午", "晚上"} and hours < 12:
        hours += 12
    time = (hours, int(minute or 0), int(second or 0))
    return datetime(int(year), int(month), int(day), *time, tzinfo=_zone(zone, local))


def _zone(text: str | None, local: tzinfo) -> tzinfo:
    if not text:
        return local
    if text[0] in "+-":
        digits = text[1:].replace(":", "")
        hours, minutes = (digits[:-2], digits[-2:]) if len(digits) > 2 else (digits, "0")
        offset = timedelta(hours=int(hours), minutes=int(minutes))
        return timezone(-offset if text[0] == "-" else offset)
    return _ZONES.get(text, local)


def _rfc822(text: str, local: tzinfo) -> datetime | None:
    parts = parsedate_tz(text)
    if parts is None:
        return None
    # parsedate_tz answers 0 for a missing zone and None for "-0000"; both leave the zone open.
    said = parts[9] if re.search(r"[+-]\d{2}:?\d{2}|[A-Za-z]{1,5}\W*$", text) else None
    zone = _named_zone(text) or (local if said is None else timezone(timedelta(seconds=said)))
    year = parts[0]
    return datetime(year, *parts[1:5], min(parts[5], 59), tzinfo=zone)


def _named_zone(text: str) -> tzinfo | None:
    last = text.rsplit(maxsplit=1)[-1].strip("()").upper()
    return _ZONES.get(last)


def _sane(found: datetime, now: datetime) -> datetime | None:
    return found if EARLIEST <= found <= now + FUTURE_TOLERANCE else None
