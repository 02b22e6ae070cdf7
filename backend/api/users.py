"""Users: admins see and change everybody, others read themselves and change their own password."""

from __future__ import annotations

from backend.api.access import Access, declare
from backend.api.context import asker, caller_address, own_login, parts
from backend.api.routes import Routes
from backend.api.schemas.common import Page, PageQuery
from backend.api.schemas.people import UserAnswer, UserChangeRequest, UserPath, UserRequest
from backend.domain.clients import address_group
from backend.domain.errors import Forbidden, InvalidInput
from backend.domain.identifiers import new_id
from backend.store import users as store
from backend.store.passwords import hash_password, verify_password
from backend.store.session import read, transact

users = Routes("users", "/api/v1/users", text="Who may log in, and what they may do.")

ME = "me"


@users.get("")
@declare(Access.ADMIN)
def list_users(query: PageQuery) -> Page[UserAnswer]:
    """Everybody, by name."""
    found, total = read(
        parts().engine,
        lambda session: store.page_of_users(session, limit=query.limit, offset=query.offset),
    )
    return Page(list=[UserAnswer.model_validate(view) for view in found], total=total)


@users.post("")
@declare(Access.ADMIN, creates=True, errors=(409,))
def add_user(body: UserRequest) -> UserAnswer:
    """Add a user."""
    user_id, hashed = new_id(), hash_password(body.password)
    view = transact(
        parts().engine,
        lambda session: store.create_user(
            session, user_id=user_id, name=body.name, password_hash=hashed, role=body.role
        ),
    )
    return UserAnswer.model_validate(view)


@users.get("/<id:user_id>")
@declare(Access.VIEWER)
def get_user(path: UserPath) -> UserAnswer:
    """One user; who is no admin sees only itself."""
    user_id = _permitted(path)
    return UserAnswer.model_validate(read(parts().engine, lambda session: store.get_user(session, user_id)))


@users.put("/<id:user_id>")
@declare(Access.VIEWER, errors=(409, 429))
def change_user(path: UserPath, body: UserChangeRequest) -> UserAnswer:
    """Change a user; who is no admin changes its own password only.

    A new password and switching off end every login of the user at once. At least one active admin stays (409).
    """
    user_id = _permitted(path)
    if asker().role != "admin" and (body.role is not None or body.is_active is not None):
        raise Forbidden("own_password_only", role=asker().role)
    if body.password is not None and user_id == asker().id:
        _require_old_password(body.old_password)
    hashed = hash_password(body.password) if body.password is not None else None
    view = transact(
        parts().engine,
        lambda session: store.update_user(
            session, user_id, role=body.role, is_active=body.is_active, password_hash=hashed
        ),
    )
    return UserAnswer.model_validate(view)


@users.delete("/<id:user_id>")
@declare(Access.ADMIN, errors=(409,))
def delete_user(path: UserPath) -> None:
    """Delete a user with its logins and access keys. At least one active admin stays (409)."""
    user_id = _permitted(path)
    transact(parts().engine, lambda session: store.delete_user(session, user_id))


def _permitted(path: UserPath) -> str:
    user_id = asker().id if path.user_id == ME else path.user_id
    if user_id != asker().id and asker().role != "admin":
        raise Forbidden(role=asker().role, needed="admin")
    return user_id


def _require_old_password(given: str | None) -> None:
    """Raise unless it is the asker's present password; wrong ones count like those of logins."""
    own_login()
    if given is None:
        raise InvalidInput(fields={"old_password": InvalidInput("old_password_needed")})
    user_id = asker().id
    with parts().login_guard.checking(asker().name, address_group(caller_address())) as check:
        known = read(parts().engine, lambda session: store.known_user(session, user_id))
        if not verify_password(known.password_hash, given):
            check.wrong()
            raise InvalidInput(fields={"old_password": InvalidInput("bad_old_password")})
        check.right()
