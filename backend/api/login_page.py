"""`/login` and `/logout`: a form that works without scripts, and a login that the browser keeps for our pages."""

from __future__ import annotations

import secrets
from urllib.parse import urlencode

from flask import Blueprint, Response, make_response, redirect, render_template, request
from pydantic import ValidationError

from backend.api.access import Access, declare
from backend.api.browser_logins import (
    TOKEN_FIELD,
    change_token,
    check_origin,
    forget,
    keep,
    local_path,
    person_in_browser,
)
from backend.api.context import Language, by_https, language, own_login, parts
from backend.api.errors import retry_after
from backend.api.login_texts import texts
from backend.api.passwords import begin_login
from backend.api.schemas.people import LoginRequest
from backend.domain.errors import (
    CascadeError,
    Forbidden,
    InvalidInput,
    TooManyRequests,
    Unauthenticated,
    Unavailable,
)
from backend.domain.messages import LANGUAGES
from backend.store import logins
from backend.store.session import transact

login_page = Blueprint("login_page", __name__)

FORM_COOKIE = "cascade_form"
FORM_SECONDS = 12 * 3600
POLICY = "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"


@login_page.get("/login")
@declare(Access.OPEN)
def form() -> Response:
    """The form, or who is logged in, in English or Chinese by `?lang=` or `Accept-Language`."""
    return _form(None)


@login_page.post("/login")
@declare(Access.OPEN)
def submit() -> Response:
    """A login for this browser, or the form again with what was wrong."""
    try:
        _check_form()
        given = LoginRequest.model_validate(
            {name: request.form.get(name, "") for name in ("username", "password")}
        )
        begun = begin_login(given.username, given.password)
    except ValidationError:
        return _form(Unauthenticated("bad_login"))
    except (Forbidden, InvalidInput, Unauthenticated, TooManyRequests, Unavailable) as error:
        return _form(error)
    answer = _see(local_path(request.args.get("next", "/")))
    keep(answer, begun)
    return answer


@login_page.post("/logout")
@declare(Access.VIEWER, page=True)
def log_out() -> Response:
    """End this login, for every parent at once."""
    login_id = own_login()
    transact(parts().engine, lambda session: logins.end_login(session, login_id))
    answer = _see("/login")
    forget(answer)
    return answer


def _see(path: str) -> Response:
    answer = make_response(redirect(path, 303))
    answer.headers["Cache-Control"] = "no-store"
    return answer


def _check_form() -> None:
    """Raises `Forbidden` and `InvalidInput` when it is not our page's form: nobody is logged in as somebody else unawares."""
    check_origin()
    nonce = request.cookies.get(FORM_COOKIE, "")
    given = request.form.get(TOKEN_FIELD, "")
    if not nonce or not parts().browser_tokens.is_seal(given, "form", nonce):
        raise InvalidInput("form_expired")


def _form(error: CascadeError | None) -> Response:
    shown, wanted = _language(), local_path(request.args.get("next", "/"))
    nonce = request.cookies.get(FORM_COOKIE) or secrets.token_urlsafe(24)
    person = person_in_browser()
    content = render_template(
        "login.html",
        language=shown,
        other="en" if shown == "zh" else "zh",
        t=texts(shown),
        here=_address(shown, wanted),
        there=_address("en" if shown == "zh" else "zh", wanted),
        error=error.sentence(shown) if error else "",
        name=request.form.get("username", "")[:200],
        person=person,
        token=change_token() if person else parts().browser_tokens.seal("form", nonce),
    )
    answer = make_response(content, error.status if error else 200)
    answer.set_cookie(
        FORM_COOKIE,
        nonce,
        max_age=FORM_SECONDS,
        path="/login",
        secure=by_https(),
        httponly=True,
        samesite="Strict",
    )
    answer.headers["Content-Security-Policy"] = POLICY
    answer.headers["Cache-Control"] = "no-store"
    answer.headers["Content-Language"] = shown
    answer.vary.add("Accept-Language")
    if error and (seconds := retry_after(error)):
        answer.headers["Retry-After"] = str(seconds)
    return answer


def _language() -> Language:
    chosen = request.args.get("lang", "")
    return "zh" if (chosen if chosen in LANGUAGES else language()) == "zh" else "en"


def _address(shown: str, wanted: str) -> str:
    return "/login?" + urlencode({"lang": shown, **({"next": wanted} if wanted != "/" else {})})
