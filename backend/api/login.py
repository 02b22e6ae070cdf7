"""Logging in and out."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.orm import Session

from backend.api.access import Access, declare
from backend.api.answers import Bare
from backend.api.context import asker, caller_address, credential, own_login, parts
from backend.api.routes import Routes
from backend.api.schemas.people import (
    LoginAnswer,
    LoginRequest,
    LogoutRequest,
    TokenRequest,
    VerifyAnswer,
)
from backend.domain.clients import address_group
from backend.domain.errors import Unauthenticated
from backend.domain.identifiers import new_id
from backend.store import logins, users
from backend.store.passwords import renewed_hash, verify_password
from backend.store.session import read, transact
from backend.store.users import KnownUser, UserView, normal_name

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
    login_id, expires_at = own_login(), parts().tokens.expiry()
    transact(parts().engine, lambda session: logins.extend_login(session, login_id, expires_at))
    return _token(asker(), login_id, expires_at)


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
    known = _known(normal_name(name), password)
    user, stored = known.user, known.password_hash
    renewed = renewed_hash(stored, password)
    login_id, expires_at = new_id(), parts().tokens.expiry()

    def start(session: Session) -> None:
        if renewed:
            users.renew_hash(session, user.id, stored, renewed)
        logins.start_login(session, login_id, user.id, expires_at)

    transact(parts().engine, start)
    return _token(user, login_id, expires_at)


def _known(name: str, password: str) -> KnownUser:
    """Whose name and password they are. Raises `Unauthenticated` and `TooManyRequests`."""
    with parts().login_guard.checking(name, address_group(caller_address())) as check:
        found = read(parts().engine, lambda session: users.credentials_of(session, name))
        # Outside the transaction: hashing is slow on purpose.
        matches = verify_password(found.password_hash, password, imported_exist=found.imported_exist)
        if found.known is None or not matches or not found.known.user.is_active:
            check.wrong()
            raise Unauthenticated("bad_login")
        check.right()
        return found.known


def _token(user: UserView, login_id: str, expires_at: datetime) -> LoginAnswer:
    tokens = parts().tokens
    return LoginAnswer(access_token=tokens.issue(user, login_id, expires_at), expires_in=tokens.seconds)
