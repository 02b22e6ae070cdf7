"""What people paste as an account's credentials, read into `Credentials`. Pure; no error repeats what was pasted.

Cookies come as the line of a `Cookie:` header, as JSON (a list of `{name, value, domain, path}` with `expirationDate`, `expires` or
`expiry` in Unix seconds, as browser extensions, Selenium and TOP_N write it; `{"cookies": […]}` as Playwright does; or `{name: value}`),
or as a Netscape `cookies.txt`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from backend.domain.errors import InvalidInput
from backend.domain.publishing import Cookie, Credentials

MAX_COOKIES = 500
MAX_TEXT = 512 * 1024
MAX_FIELD = 8192
HTTP_ONLY = "#HttpOnly_"
NETSCAPE_FIELDS = 7
NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}")
VALUE = re.compile(r"[\x21-\x3a\x3c-\x7e\x20]{0,8192}")
# Chrome counts its times from 1601 in microseconds, some extensions ours in milliseconds.
MILLISECONDS_FROM = 1e11


def credentials_of(given: Mapping[str, object]) -> Credentials:
    """The credentials in an object as people send it: `cookies` in any of the forms above, every other name a text.

    Raises `InvalidInput` naming the field, never its value.
    """
    cookies = given.get("cookies")
    fields = {name: _field(name, value) for name, value in given.items() if name != "cookies" and value}
    found = Credentials(() if cookies in (None, "", [], {}) else parse_cookies(cookies), fields)
    if not found.cookies and not found.fields:
        raise InvalidInput("no_credentials")
    return found


def _field(name: str, value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise InvalidInput("bad_credential", name=name, why="it must be a text")
    text = str(value).strip()
    if len(text) > MAX_FIELD or re.search(r"[\x00-\x1f\x7f]", text):
        raise InvalidInput("bad_credential", name=name, why="it is too long or holds line breaks")
    return text


def parse_cookies(given: object) -> tuple[Cookie, ...]:
    """Cookies in whatever form they were pasted; of two with one name, domain and path the later counts.

    Raises `InvalidInput`, which says what form is expected and never repeats a value.
    """
    if isinstance(given, str):
        if len(given) > MAX_TEXT:
            raise _unreadable("the text is too long")
        found = _from_text(given.strip().removeprefix("\ufeff").strip())
    else:
        found = _from_json(given)
    unique = {(one.name, one.domain, one.path): one for one in found}
    if not 0 < len(unique) <= MAX_COOKIES:
        raise _unreadable("no cookie was found in it" if not unique else "there are too many cookies in it")
    return tuple(unique.values())


def _from_text(text: str) -> list[Cookie]:
    if text[:1] in {"[", "{"}:
        try:
            return _from_json(json.loads(text))
        except (ValueError, RecursionError):
            raise _unreadable("it looks like JSON and breaks off or has a mistake") from None
    lines = text.splitlines()
    if any(line.count("\t") >= NETSCAPE_FIELDS - 2 for line in lines):
        return [_from_netscape(number, line) for number, line in enumerate(lines, 1) if _tells(line)]
    if len([line for line in lines if line.strip()]) > 1:
        raise _unreadable("it has several lines and is neither JSON nor a cookies.txt")
    return _from_header(text)


def _from_header(text: str) -> list[Cookie]:
    line = re.sub(r"^cookie\s*:\s*", "", text, flags=re.IGNORECASE)
    pairs = [pair.strip() for pair in line.split(";") if pair.strip()]
    if any("=" not in pair for pair in pairs):
        raise _unreadable("a part between two semicolons has no name=value")
    return [_cookie(*pair.split("=", 1)) for pair in pairs]


def _tells(line: str) -> bool:
    return bool(line.strip()) and (not line.startswith("#") or line.startswith(HTTP_ONLY))


def _from_netscape(number: int, line: str) -> Cookie:
    parts = line.removeprefix(HTTP_ONLY).rstrip("\r\n").split("\t")
    if len(parts) == NETSCAPE_FIELDS - 1:
        parts.append("")
    if len(parts) != NETSCAPE_FIELDS:
        raise _unreadable(f"line {number} of the cookies.txt has not seven fields between tabs")
    domain, _, path, _, expires, name, value = parts
    return _cookie(name, value, domain, path, expires)


def _from_json(given: object) -> list[Cookie]:
    if isinstance(given, Mapping):
        inner = given.get("cookies")
        if isinstance(inner, list):
            return _from_json(inner)
        if not all(isinstance(value, str) for value in given.values()):
            raise _unreadable('a JSON object must hold "cookies" as a list, or names and values')
        return [_cookie(str(name), str(value)) for name, value in given.items()]
    if not isinstance(given, list):
        raise _unreadable("it must be a text, a list of cookies, or an object")
    return [_from_object(number, one) for number, one in enumerate(given, 1)]


def _from_object(number: int, one: object) -> Cookie:
    if not isinstance(one, Mapping) or not isinstance(one.get("name"), str):
        raise _unreadable(f"number {number} of the list has no name")
    value = one.get("value", "")
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise _unreadable(f"the value of {_shown(one['name'])} is no text")
    expires = next((one[key] for key in ("expirationDate", "expires", "expiry") if one.get(key)), None)
    return _cookie(one["name"], str(value), one.get("domain"), one.get("path"), expires)


def _cookie(
    name: str, value: str, domain: object = None, path: object = None, expires: object = None
) -> Cookie:
    name, value = name.strip(), value.strip()
    if not NAME.fullmatch(name):
        raise _unreadable("a name holds characters that cookies can't have")
    if not VALUE.fullmatch(value):
        raise _unreadable(f"the value of {_shown(name)} holds characters that cookies can't have")
    home = str(domain or "").strip().casefold().lstrip(".")
    return Cookie(name, value, home, str(path or "").strip() or "/", _moment(expires))


def _shown(name: object) -> str:
    # Where value and name were swapped, the name is the secret.
    return re.sub(r"[^\w.-]", "?", str(name))[:24]


def _moment(value: object) -> datetime | None:
    """When a cookie ends: Unix seconds or milliseconds, ISO 8601 or the form of HTTP; `None` with the session."""
    if isinstance(value, bool) or value is None:
        return None
    text = str(value).strip()
    try:
        return _from_number(float(text))
    except ValueError:
        pass
    for read in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            moment = read(text)
        except (ValueError, TypeError, IndexError, OverflowError):
            continue
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    return None


def _from_number(number: float) -> datetime | None:
    if not 0 < number < float("inf"):
        return None
    try:
        return datetime.fromtimestamp(number / 1000 if number > MILLISECONDS_FROM else number, UTC)
    except (OverflowError, OSError, ValueError):
        return None


def _unreadable(why: str) -> InvalidInput:
    return InvalidInput("bad_cookies_text", why=why)


def live_cookies(cookies: Iterable[Cookie], host: str, now: datetime) -> dict[str, str]:
    """What a browser would send to the host, by name; a cookie without a domain goes everywhere, the closest domain wins."""
    fitting = [
        one
        for one in cookies
        if (one.expires is None or one.expires > now)
        and (not one.domain or host == one.domain or host.endswith(f".{one.domain}"))
    ]
    return {one.name: one.value for one in sorted(fitting, key=lambda one: len(one.domain))}


def cookie_line(cookies: Iterable[Cookie], host: str, now: datetime) -> str:
    """The value of the `Cookie` header for the host."""
    return "; ".join(f"{name}={value}" for name, value in live_cookies(cookies, host, now).items())


def renewed(
    cookies: tuple[Cookie, ...], lines: Iterable[str], host: str, now: datetime
) -> tuple[Cookie, ...]:
    """The cookies after an answer of the host with these `Set-Cookie` lines; what can't be read changes nothing."""
    kept = list(cookies)
    for line in lines:
        fresh = _set_cookie(line, host, now)
        if fresh is None:
            continue
        same = [one for one in kept if one.name == fresh.name and _same_place(one, fresh)]
        kept = [one for one in kept if one not in same]
        if fresh.expires is None or fresh.expires > now:
            # One pasted without its domain stays good for all hosts of the platform.
            everywhere = any(not one.domain for one in same)
            kept.append(Cookie(fresh.name, fresh.value, "", "/", fresh.expires) if everywhere else fresh)
    return tuple(kept)


def _same_place(one: Cookie, fresh: Cookie) -> bool:
    return not one.domain or (one.domain == fresh.domain and one.path == fresh.path)


def _set_cookie(line: str, host: str, now: datetime) -> Cookie | None:
    pair, *rest = line.split(";")
    name, separator, value = pair.partition("=")
    told: dict[str, str] = {}
    for part in rest:
        key, _, said = part.partition("=")
        told[key.strip().casefold()] = said.strip()
    try:
        cookie = _cookie(name, value, told.get("domain") or host, told.get("path"), told.get("expires"))
    except InvalidInput:
        return None
    if not separator or not (host == cookie.domain or host.endswith(f".{cookie.domain}")):
        return None
    age = told.get("max-age", "")
    if re.fullmatch(r"-?[0-9]{1,10}", age):
        ends = datetime.fromtimestamp(now.timestamp() + int(age), UTC)
        return Cookie(cookie.name, cookie.value, cookie.domain, cookie.path, ends)
    return cookie


def earliest_end(cookies: Iterable[Cookie], needed: frozenset[str]) -> datetime | None:
    """When the first of the needed cookies ends, where that is known."""
    ends = [one.expires for one in cookies if one.name in needed and one.expires is not None]
    return min(ends, default=None)
