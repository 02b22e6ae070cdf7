"""Who may use a route: declared at the route, held by one guard before anything of the request is read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any, TypedDict, TypeVar, Unpack
from urllib.parse import urlencode

from flask import Flask, current_app, g, redirect, request
from pydantic import BaseModel
from werkzeug.wrappers import Response

from backend.api.auth import authenticate, node_pair
from backend.api.browser_logins import has_cookie, person_by_cookie
from backend.api.tracing import asked_path
from backend.domain.errors import Forbidden, Unauthenticated
from backend.store.credentials import NodeIdentity
from backend.store.users import UserView

View = TypeVar("View", bound=Callable[..., Any])

ATTRIBUTE = "declaration"
RANKS = {"viewer": 1, "operator": 2, "admin": 3}


class Access(Enum):
    """Who may: everybody, a person of at least that role, or a node. People and nodes never share a route."""

    OPEN = "open"
    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"
    NODE = "node"


@dataclass(frozen=True, slots=True)
class Declaration:
    """What a route says of itself beyond its function's types.

    `code`: the envelope's code on success. `errors`: HTTP statuses that it answers beside the ones that follow
    from its access and inputs. `media`: content types of an answer that is not in the envelope, `reads`: of a
    body that is no JSON. `creates`: it takes an `Idempotency-Key`. `versioned`: it answers with an
    `ETag` (`backend.api.preconditions`). `body_bytes`: how large a body may be, where a megabyte is too little.
    `unpacked_bytes`: how large a gzip body may be once it is unpacked; 0: none is read. `reads_itself`: the model of a JSON body
    that the route reads itself, beside others. `page`: people may come with their browser's login, and who has none is shown where to get one.
    `authenticates`: it checks a node's pair itself, in the transaction of what it does, and finds it in `g.node_pair`.
    """

    access: Access
    code: int = 0
    errors: tuple[int, ...] = ()
    media: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()
    creates: bool = False
    versioned: bool = False
    body_bytes: int = 0
    authenticates: bool = False
    page: bool = False
    unpacked_bytes: int = 0
    reads_itself: type[BaseModel] | None = None


class Details(TypedDict, total=False):
    """What `declare` takes beside the access: see `Declaration`."""

    code: int
    errors: tuple[int, ...]
    media: tuple[str, ...]
    reads: tuple[str, ...]
    creates: bool
    versioned: bool
    body_bytes: int
    authenticates: bool
    page: bool
    unpacked_bytes: int
    reads_itself: type[BaseModel]


def declare(access: Access, **details: Unpack[Details]) -> Callable[[View], View]:
    """Declare who may use a route and how it answers; the route's own decorator stands above."""
    declaration = Declaration(access, **details)
    if declaration.creates and access is Access.OPEN:
        raise ValueError("an Idempotency-Key belongs to whoever sends it: an open route can't take one")

    def mark(view: View) -> View:
        setattr(view, ATTRIBUTE, declaration)
        return view

    return mark


def declaration_of(view: Callable[..., Any]) -> Declaration:
    """What the view declares. Raises `LookupError` for one that declares nothing."""
    found = getattr(view, ATTRIBUTE, None)
    if not isinstance(found, Declaration):
        raise LookupError(f"{view.__qualname__} does not declare who may use it: @declare(Access.…)")
    return found


def guard(app: Flask) -> None:
    """Hold every route's declaration."""
    app.before_request(_check)


def permit(access: Access, principal: UserView | NodeIdentity) -> None:
    """Let the one who asks pass. Raises `Forbidden` with who may."""
    if isinstance(principal, NodeIdentity):
        if access is not Access.NODE:
            raise Forbidden("forbidden_to_nodes")
        return
    if access is Access.NODE:
        raise Forbidden("forbidden_to_people")
    least = RANKS[access.value]
    if RANKS.get(principal.role, 0) < least:
        needed = sorted(role for role, rank in RANKS.items() if rank >= least)
        raise Forbidden(role=principal.role, needed=" / ".join(needed))


def _check() -> Response | None:
    # Without an endpoint nothing runs: the answer is 404 or 405.
    if request.endpoint is None:
        return None
    declared = declaration_of(current_app.view_functions[request.endpoint])
    if declared.access is Access.OPEN:
        return None
    try:
        _admit(declared)
    except Unauthenticated:
        if declared.page and "text/html" in request.headers.get("Accept", ""):
            return _to_login()
        raise
    return None


def _admit(declared: Declaration) -> None:
    header = request.headers.get("Authorization", "")
    pair = node_pair(header) if declared.authenticates and request.method != "OPTIONS" else None
    if pair:
        g.node_pair = pair
        return
    principal = person_by_cookie() if declared.page and not header and has_cookie() else authenticate(header)
    if isinstance(principal, NodeIdentity):
        g.node = principal
    else:
        g.user = principal
    # One path has one answer to OPTIONS, whichever of its methods needs more.
    if request.method != "OPTIONS":
        permit(declared.access, principal)


def _to_login() -> Response:
    wanted = asked_path() if request.method == "GET" else "/"
    query = request.query_string.decode("ascii", "replace") if request.method == "GET" else ""
    answer = redirect("/login?" + urlencode({"next": f"{wanted}?{query}" if query else wanted}), 303)
    answer.headers["Cache-Control"] = "no-store"
    return answer
