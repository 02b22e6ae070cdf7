"""Access keys: how scripts ask as their user."""

from __future__ import annotations

from datetime import UTC, datetime

from backend.api.access import Access, declare
from backend.api.context import asker, own_login, parts
from backend.api.routes import Routes
from backend.api.schemas.common import Page
from backend.api.schemas.people import KeyAnswer, KeyPath, KeyQuery, KeyRequest, NewKeyAnswer
from backend.domain.errors import Forbidden, InvalidInput
from backend.domain.identifiers import new_id
from backend.domain.people import draw_key_pair
from backend.store import access_keys as store
from backend.store.session import read, transact

access_keys = Routes(
    "access_keys", "/api/v1/auth/access-keys", text="Keys for scripts: `Authorization: AK-SK WK…:SK…`."
)


@access_keys.post("")
@declare(Access.VIEWER, creates=True, errors=(409,))
def make_key(body: KeyRequest) -> NewKeyAnswer:
    """Make a key of one's own; its secret is shown this once. An access key can't make another one."""
    own_login()
    if body.expires_at is not None and body.expires_at <= datetime.now(UTC):
        raise InvalidInput(fields={"expires_at": InvalidInput("expiry_past")})
    key_id, pair, user_id = new_id(), draw_key_pair(), asker().id
    view = transact(
        parts().engine,
        lambda session: store.create_key(
            session,
            key_id,
            pair,
            user_id=user_id,
            name=body.name,
            role=body.role,
            expires_at=body.expires_at,
        ),
    )
    shown = KeyAnswer.model_validate(view).model_dump()
    authorization = f"AK-SK {pair.access_key}:{pair.secret}"
    return NewKeyAnswer(**shown, secret=pair.secret, authorization=authorization)


@access_keys.get("")
@declare(Access.VIEWER)
def list_keys(query: KeyQuery) -> Page[KeyAnswer]:
    """One's own keys, the newest first; admins may ask for others'."""
    user_id = None if query.all else query.user_id or asker().id
    if user_id != asker().id and asker().role != "admin":
        raise Forbidden(role=asker().role, needed="admin")
    found = read(parts().engine, lambda session: store.list_keys(session, user_id))
    part = found[query.offset : query.offset + query.limit]
    return Page(list=[KeyAnswer.model_validate(view) for view in part], total=len(found))


@access_keys.delete("/<id:key_id>")
@declare(Access.VIEWER)
def revoke_key(path: KeyPath) -> None:
    """End a key of one's own at once; admins may end anybody's."""
    user_id = None if asker().role == "admin" else asker().id
    transact(parts().engine, lambda session: store.revoke_key(session, path.key_id, user_id))
