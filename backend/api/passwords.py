"""A name and a password become a login: behind the guard, for the API and for browsers alike."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from backend.api.context import caller_address, parts
from backend.api.tokens import Tokens
from backend.domain.clients import address_group
from backend.domain.errors import Unauthenticated
from backend.domain.identifiers import new_id
from backend.store import logins, users
from backend.store.passwords import renewed_hash, verify_password
from backend.store.session import read, transact
from backend.store.users import KnownUser, UserView, normal_name


@dataclass(frozen=True, slots=True)
class NewLogin:
    """A login that has just begun."""

    user: UserView
    login_id: str
    expires_at: datetime

    def token(self, tokens: Tokens) -> str:
        """What its owner shows from now on."""
        return tokens.issue(self.user, self.login_id, self.expires_at)


def begin_login(name: str, password: str) -> NewLogin:
    """A new login. Raises `Unauthenticated` and `TooManyRequests`."""
    known = _known(normal_name(name), password)
    user, stored = known.user, known.password_hash
    renewed = renewed_hash(stored, password)
    begun = NewLogin(user, new_id(), parts().tokens.expiry())

    def start(session: Session) -> None:
        if renewed:
            users.renew_hash(session, user.id, stored, renewed)
        logins.start_login(session, begun.login_id, user.id, begun.expires_at)

    transact(parts().engine, start)
    return begun


def _known(name: str, password: str) -> KnownUser:
    with parts().login_guard.checking(name, address_group(caller_address())) as check:
        found = read(parts().engine, lambda session: users.credentials_of(session, name))
        # Outside the transaction: hashing is slow on purpose.
        matches = verify_password(found.password_hash, password, imported_exist=found.imported_exist)
        if found.known is None or not matches or not found.known.user.is_active:
            check.wrong()
            raise Unauthenticated("bad_login")
        check.right()
        return found.known
