"""How a node joins: an admin makes a token for it, and it exchanges that for credentials of its own, once."""

from __future__ import annotations

from backend.api.access import Access, declare
from backend.api.answers import Reply
from backend.api.context import actor, caller_address, parts
from backend.api.routes import Routes
from backend.api.schemas.joining import JoinAnswer, JoinRequest, JoinTokenAnswer, JoinTokenRequest
from backend.domain.errors import Conflict, TooManyRequests, Unauthenticated
from backend.domain.protocol import OLDEST, PROTOCOL, TOO_OLD, agreed
from backend.store import join_tokens, starts
from backend.store.credentials import Pair, new_pair
from backend.store.join_tokens import Member
from backend.store.session import transact

NO_STORE = {"Cache-Control": "no-store"}
GUARDED = "join"

joining = Routes("joining", text="How nodes join.", any_content_type=True)


@joining.post("/join-tokens")
@declare(Access.ADMIN, errors=(409,), creates=True)
def make_join_token(body: JoinTokenRequest) -> Reply[JoinTokenAnswer]:
    """Make a token for the node of that name, which is added when there is none; the token is shown this once.

    It is used by `POST /join` (`./cascade child join URL TOKEN`), once, before it ends. Older unused tokens of the node end.
    """
    drawn, who = join_tokens.draw(), actor()
    issued = transact(
        parts().engine,
        lambda session: join_tokens.issue(session, drawn, body.name, seconds=body.ttl_seconds, actor=who),
    )
    answer = JoinTokenAnswer(
        node_id=issued.node_id, name=issued.name, token=drawn.token, expires_at=issued.expires_at
    )
    return Reply(answer, "join_token_made", NO_STORE)


@joining.post("/join")
@declare(Access.OPEN, errors=(401, 403, 404, 409, 429))
def join(body: JoinRequest) -> Reply[JoinAnswer]:
    """Exchange a join token for the node's own credentials: the secret is shown this once, the token is used up.

    Five wrong tokens lock an address for a while.
    """
    if agreed(PROTOCOL, body.protocol) is None:
        raise Conflict(TOO_OLD, protocol=body.protocol, oldest=OLDEST)
    pair = new_pair()
    member = _redeem(body, pair)
    _note(member, body)
    return Reply(
        JoinAnswer(
            node_id=member.node_id,
            name=member.name,
            slug=member.slug,
            api_key=pair.api_key,
            api_secret=pair.api_secret,
        ),
        "joined",
        NO_STORE,
    )


def _redeem(body: JoinRequest, pair: Pair) -> Member:
    try:
        with parts().login_guard.checking(GUARDED, caller_address()) as check:
            found = transact(
                parts().engine,
                lambda session: join_tokens.redeem(session, body.token, body.instance, pair),
            )
            if isinstance(found, Unauthenticated):
                check.wrong()
                raise found
            check.right()
            return found
    except TooManyRequests as error:
        raise TooManyRequests("join_locked", retry_after=error.retry_after) from None


def _note(member: Member, body: JoinRequest) -> None:
    """What the node can do is known before its first beat."""
    if body.capabilities is not None:
        said = body.capabilities
        transact(
            parts().engine,
            lambda session: starts.note_capabilities(session, member.node_id, body.protocol, said),
        )
