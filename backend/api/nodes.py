"""Nodes: add, list, change, delete; their credentials and connections."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace

from sqlalchemy.orm import Session

from backend.api.access import Access, declare
from backend.api.answers import Reply
from backend.api.context import actor, language, parts
from backend.api.preconditions import is_conditional, require_match, tagged
from backend.api.routes import Routes
from backend.api.schemas.nodes import (
    ConnectionAnswer,
    ConnectionRequest,
    CredentialsAnswer,
    CredentialsRequest,
    DeletionQuery,
    NodeAnswer,
    NodeChangeRequest,
    NodePath,
    NodeQuery,
    NodeRequest,
    SyncConfig,
    SyncConfigAnswer,
)
from backend.dispatch.node_calls import ping, try_credentials
from backend.dispatch.node_queues import queue_lengths
from backend.domain.errors import InvalidInput
from backend.domain.identifiers import new_id
from backend.domain.node_settings import DEFAULT_CAPACITY, NodeSettings, check_settings
from backend.store import credentials, node_changes
from backend.store import nodes as store
from backend.store.credentials import new_pair
from backend.store.node_views import NodeView
from backend.store.nodes import settings_of
from backend.store.session import read, transact

nodes = Routes("nodes", text="Where work runs: nodes and their credentials.", any_content_type=True)

NO_STORE = {"Cache-Control": "no-store"}


@nodes.post("/nodes")
@declare(Access.ADMIN, errors=(409,), creates=True)
def add_node(body: NodeRequest) -> Reply[NodeAnswer]:
    """Add a child node; its credentials are made by a call of their own."""
    if body.node_type == 0:
        raise InvalidInput(fields={"node_type": InvalidInput("one_parent")})
    node_id, config = new_id(), body.sync_config or SyncConfig()
    transact(
        parts().engine,
        lambda session: store.add_remote(
            session,
            NodeSettings(
                name=body.name,
                description=body.description or "",
                api_url=body.api_url or "",
                max_capacity=config.max_capacity or DEFAULT_CAPACITY,
                feed_quota=config.feed_quota or {},
            ),
            node_id,
        ),
    )
    return Reply(_answer(_standing(node_id)), "node_made")


@nodes.get("/nodes")
@declare(Access.VIEWER)
def list_nodes(query: NodeQuery) -> list[NodeAnswer]:
    """Every node that matches: the parent's own first, then by name."""
    found = [
        view
        for view in read(parts().engine, store.list_nodes)
        if query.node_type in {None, str(view.node_type)}
        if query.state is None or _is_in(view, query.state)
    ]
    return _answers(found)


@nodes.get("/nodes/<id:node_id>")
@declare(Access.VIEWER, versioned=True)
def get_node(path: NodePath) -> Reply[NodeAnswer]:
    """One node. Its tag is about what people set of it: beats and work don't change it."""
    return _tagged(_standing(path.node_id))


@nodes.put("/nodes/<id:node_id>")
@declare(Access.ADMIN, errors=(409,), versioned=True)
def change_node(path: NodePath, body: NodeChangeRequest) -> Reply[NodeAnswer]:
    """Change a node; what is left out stays, a quota is replaced as a whole."""
    config = body.sync_config or SyncConfig()
    wanted = NodeSettings(
        name=body.name,
        description=body.description,
        api_url=body.api_url,
        is_active=body.is_active,
        draining=body.draining,
        max_capacity=config.max_capacity,
        feed_quota=config.feed_quota,
    )

    def change(session: Session) -> NodeView:
        if is_conditional():
            require_match(asdict(node_changes.locked_settings(session, path.node_id)))
        return node_changes.update_node(session, path.node_id, wanted)

    return _tagged(transact(parts().engine, change))


@nodes.delete("/nodes/<id:node_id>")
@declare(Access.ADMIN, errors=(409,))
def delete_node(path: NodePath, query: DeletionQuery) -> None:
    """Delete a node with its credentials; what waits for it goes to other nodes."""
    who = actor()
    transact(
        parts().engine,
        lambda session: node_changes.delete_node(session, path.node_id, force=query.force, actor=who),
    )


@nodes.post("/nodes/<id:node_id>/credentials")
@declare(Access.ADMIN, errors=(409,), creates=True)
def make_credentials(path: NodePath, body: CredentialsRequest) -> Reply[CredentialsAnswer]:
    """Make a pair for a node, or replace the one that stands; the secret is shown this once."""
    pair = new_pair()
    transact(
        parts().engine,
        lambda session: credentials.rotate(session, path.node_id, pair, grace_seconds=body.grace_seconds),
    )
    answer = CredentialsAnswer(
        node_id=path.node_id,
        api_key=pair.api_key,
        api_secret=pair.api_secret,
        grace_seconds=body.grace_seconds,
    )
    return Reply(answer, "credentials_made", NO_STORE)


@nodes.post("/nodes/<id:node_id>/test-connection")
@declare(Access.ADMIN)
def test_connection(path: NodePath, body: ConnectionRequest) -> ConnectionAnswer:
    """Try to reach a node: with credentials a heartbeat at `api_url`, without them a signed ping; 200 either way."""
    if bool(body.api_key) != bool(body.api_secret):
        missing = "api_secret" if body.api_key else "api_key"
        raise InvalidInput(fields={missing: InvalidInput("incomplete_credentials")})
    view = _standing(path.node_id)
    given = check_settings(NodeSettings(api_url=body.api_url)).api_url
    if body.api_key and body.api_secret:
        attempt = try_credentials(parts().http, given or view.api_url, body.api_key, body.api_secret)
    else:
        hashes = read(parts().engine, lambda session: credentials.valid_hashes(session, view.id))
        attempt = ping(parts().http, given or view.callback_url or view.api_url, hashes)
    verdict = attempt.verdict
    return ConnectionAnswer(
        connected=verdict.connected,
        code=verdict.code,
        error=verdict.error(language()),
        hint=verdict.hint(language()),
        url=attempt.url,
        http_status=verdict.http_status,
        parent_response=verdict.answer,
    )


def _standing(node_id: str) -> NodeView:
    return read(parts().engine, lambda session: store.get_node(session, node_id))


def _is_in(view: NodeView, state: str) -> bool:
    return {
        "online": bool(view.status),
        "offline": not view.status,
        "available": view.available,
        "unavailable": not view.available,
        "draining": view.draining,
        "switched_off": not view.is_active,
    }[state]


def _answer(view: NodeView) -> NodeAnswer:
    return _answers([view])[0]


def _tagged(view: NodeView) -> Reply[NodeAnswer]:
    reply = tagged(_answer(view), asdict(settings_of(view)))
    # A browser that keeps the answer would show an old state under the same tag.
    return replace(reply, headers={**reply.headers, **NO_STORE})


def _answers(views: Sequence[NodeView]) -> list[NodeAnswer]:
    lengths = queue_lengths(parts().engine, parts().redis, views)
    return [
        NodeAnswer.model_validate(
            asdict(view)
            | {
                "node_id": view.id,
                "reason": view.why.sentence(language()) if view.why else "",
                "sync_config": SyncConfigAnswer(max_capacity=view.max_capacity, feed_quota=view.feed_quota),
                "queue": view.queue if view.transport == "attached" else None,
                "queue_length": lengths[view.id],
            }
        )
        for view in views
    ]
