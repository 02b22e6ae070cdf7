"""Logging in and out."""

from __future__ import annotations

from backend.api.access import Access, declare
from backend.api.answers import Bare
from backend.api.context import asker, credential, own_login, parts
from backend.api.passwords import NewLogin, begin_login
from backend.api.routes import Routes
from backend.api.schemas.people import (
    LoginAnswer,
    LoginRequest,
    LogoutRequest,
    TokenRequest,
    VerifyAnswer,
)
from backend.store import logins, users
from backend.store.session import transact

login = Routes("login", "/api/v1/auth", text="Logging in and out.")


@login.post("/login")
@declare(Access.OPEN, errors=(401, 429))
def log_in(body: LoginRequest) -> LoginAnswer:
    """A token for a name and password.

    The answer is the same whether or not the name exists. Five wrong passwords lock the name from the caller's
    address for a while (429).
    """
    return _log_in(body.username, body.password)


@login.post("/token")
@declare(Access.OPEN, errors=(401, 429))
def issue_token(body: TokenRequest) -> Bare[LoginAnswer]:
    """The same login as OAuth2's password grant has it: the answer comes without the envelope."""
    return Bare(_log_in(body.username, body.password))


@login.post("/refresh")
@declare(Access.VIEWER)
def refresh() -> LoginAnswer:
    """A new token of the same login; the old one lives until it expires or the login ends."""
    renewed = NewLogin(asker(), own_login(), parts().tokens.expiry())
    transact(
        parts().engine, lambda session: logins.extend_login(session, renewed.login_id, renewed.expires_at)
    )
    return LoginAnswer(access_token=renewed.token(parts().tokens), expires_in=parts().tokens.seconds)


@login.get("/verify")
@declare(Access.VIEWER)
def verify() -> VerifyAnswer:
    """Who is asking, and until when; a token or key that is dead answers 401."""
    return _verified()


@login.post("/verify")
@declare(Access.VIEWER)
def verify_by_post() -> VerifyAnswer:
    """The same for clients that send POST."""
    return _verified()


@login.post("/logout")
@declare(Access.VIEWER)
def log_out(body: LogoutRequest) -> None:
    """End this login, or every login of the user: their tokens are dead at once, on every parent."""
    login_id, user_id = own_login(), asker().id
    if body.everywhere:
        transact(parts().engine, lambda session: users.end_logins(session, user_id))
    else:
        transact(parts().engine, lambda session: logins.end_login(session, login_id))


def _verified() -> VerifyAnswer:
    return VerifyAnswer(username=asker().name, role=asker().role, expires_at=credential().expires_at)


def _log_in(name: str, password: str) -> LoginAnswer:
    begun, tokens = begin_login(name, password), parts().tokens
    return LoginAnswer(access_token=begun.token(tokens), expires_in=tokens.seconds)
