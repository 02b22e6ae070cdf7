"""Logins of browsers: a cookie that only pages read, and the token that a change has to bring along.

The cookie never counts for the API, whose callers send `Authorization`: no other page can make a browser use it there.
"""

from __future__ import annotations

import re

from flask import Response, g, request
from sqlalchemy.exc import SQLAlchemyError

from backend.api.context import asker, by_https, credential, parts
from backend.api.passwords import NewLogin
from backend.api.person_authentication import person_by_token
from backend.domain.errors import Forbidden, Unauthenticated, Unavailable
from backend.store.users import UserView

COOKIE = "cascade_login"
TOKEN_HEADER = "X-CSRF-Token"  # noqa: S105 - a header's name
TOKEN_FIELD = "csrf_token"  # noqa: S105 - a field's name
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
# What browsers say of requests that a page of ours, or the person, has made.
OWN_SITES = frozenset({"", "same-origin", "none"})
# A backslash counts as a slash to browsers, and two slashes at the beginning name another host.
LOCAL_PATH = re.compile(r"/(?!/)[A-Za-z0-9._~!$&'()*+,;=:@%/?-]{0,500}")


def has_cookie() -> bool:
    """Whether the request brings a browser's login, dead or alive."""
    return bool(request.cookies.get(COOKIE))


def person_by_cookie() -> UserView:
    """Whose browser it is. Raises `Unauthenticated`, and `Forbidden` for a change that one of our pages did not ask for."""
    user = person_by_token(request.cookies.get(COOKIE, ""), parts().browser_tokens)
    if request.method not in SAFE:
        check_origin()
        given = request.headers.get(TOKEN_HEADER) or request.form.get(TOKEN_FIELD, "")
        if not parts().browser_tokens.is_seal(given, "change", credential().login_id or ""):
            raise Forbidden("csrf_refused")
    return user


def person_in_browser() -> UserView | None:
    """Whose browser reads an open page; nobody when the login is dead, or can't be looked up now."""
    if not has_cookie() or request.method not in SAFE:
        return None
    try:
        g.user = person_by_cookie()
    except (Unauthenticated, Unavailable, SQLAlchemyError):
        return None
    return asker()


def check_origin() -> None:
    """Raises `Forbidden` when the browser says that another site's page made the request."""
    if request.headers.get("Sec-Fetch-Site", "") not in OWN_SITES:
        raise Forbidden("csrf_refused")


def change_token() -> str:
    """What this login's pages send with every change; nothing for somebody without a browser's login."""
    return parts().browser_tokens.seal("change", credential().login_id or "") if has_cookie() else ""


def keep(answer: Response, begun: NewLogin) -> None:
    """Let the browser keep the login, for as long as it lives."""
    answer.set_cookie(
        COOKIE,
        begun.token(parts().browser_tokens),
        max_age=parts().browser_tokens.seconds,
        secure=by_https(),
        httponly=True,
        samesite="Strict",
    )


def forget(answer: Response) -> None:
    """Let the browser forget its login."""
    answer.delete_cookie(COOKIE, secure=by_https(), httponly=True, samesite="Strict")


def local_path(wanted: str) -> str:
    """The path, if it is one of this site; else the start page. Whoever logs in is sent nowhere else."""
    return wanted if LOCAL_PATH.fullmatch(wanted) else "/"
