"""What many operations of the contract share: how they refuse, and the headers of conditional requests."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from backend.api.access import Declaration
from backend.api.examples import AN_ID
from backend.api.idempotency import HEADER, REPLAYED, USABLE_KEY
from backend.domain.messages import render

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Refusal:
    """One HTTP status: its name, what it means, and its usual code with what that one's sentence needs."""

    name: str
    meaning: str
    code: str
    params: Json

    def described(self, status: int) -> Json:
        """The answer, as the contract shows it."""
        data: Json = {"error": self.code}
        if status == 422:
            data["errors"] = {"name": render("field_missing", "en", {})}
        example = {"code": status, "message": render(self.code, "en", self.params), "data": data}
        content = {"schema": {"$ref": "#/components/schemas/ErrorEnvelope"}, "example": example}
        return {"description": self.meaning, "content": {"application/json": content}}


REFUSALS = {
    400: Refusal(
        "NotJson",
        "The body is not JSON.",
        "bad_json",
        {"detail": "EOF while parsing an object at line 1 column 1"},
    ),
    401: Refusal("Unauthenticated", "Nobody is known to be asking.", "unauthenticated", {}),
    403: Refusal(
        "Forbidden",
        "The one who asks may not do this.",
        "forbidden",
        {"role": "viewer", "needed": "admin / operator"},
    ),
    404: Refusal(
        "NotFound", "It does not exist, or is not the caller's.", "not_found", {"noun": "feed", "id": AN_ID}
    ),
    409: Refusal("Conflict", "It collides with what stands.", "request_in_hand", {}),
    412: Refusal("Changed", "It was changed meanwhile.", "changed_meanwhile", {}),
    413: Refusal("TooLarge", "The body is too large.", "body_too_large", {"megabytes": 1}),
    415: Refusal(
        "Unreadable",
        "The body has a type that is not read here.",
        "bad_content_type",
        {"expected": "application/json"},
    ),
    422: Refusal("Invalid", "Fields can't be used; `data.errors` says why.", "invalid_input", {}),
    429: Refusal("TooMany", "Too many; `Retry-After` says when to try again.", "login_busy", {"seconds": 1}),
    503: Refusal(
        "Unavailable",
        "A part is away; `Retry-After` says when to try again.",
        "unavailable",
        {"part": "The database"},
    ),
}
IDEMPOTENCY_KEY: Any = {
    "name": HEADER,
    "in": "header",
    "required": False,
    "description": "Drawn by the caller for each thing to create: the same request again is answered the same for a day.",
    "schema": {"type": "string", "pattern": USABLE_KEY.pattern},
    "example": "0199a3c4-7d5e-7c1b-9d8e-2f4a6b8c0d1e",
}
IF_NONE_MATCH: Any = {
    "name": "If-None-Match",
    "in": "header",
    "required": False,
    "description": "An `ETag` from before: what did not change since is answered 304, without a body.",
    "schema": {"type": "string"},
}
IF_MATCH: Any = {
    "name": "If-Match",
    "in": "header",
    "required": False,
    "description": "The `ETag` of what you saw: what changed since is left alone, 412.",
    "schema": {"type": "string"},
}
ETAG_HEADER = {"description": "Names this version.", "schema": {"type": "string"}}
REPLAYED_HEADER = {
    "description": "`true` when this is the answer of the first time.",
    "schema": {"type": "string", "enum": ["true"]},
}


def refusals() -> Json:
    """Every refusal, by its name in the contract."""
    return {refusal.name: refusal.described(status) for status, refusal in REFUSALS.items()}


def conditions(method: str, declared: Declaration) -> Iterator[Any]:
    """The headers that make a request conditional."""
    if declared.creates:
        yield IDEMPOTENCY_KEY
    if declared.versioned:
        yield IF_NONE_MATCH if method == "GET" else IF_MATCH


def answer_headers(declared: Declaration) -> Json:
    """The headers of the answer that belong to them."""
    found: Json = {REPLAYED: REPLAYED_HEADER} if declared.creates else {}
    return found | ({"ETag": ETAG_HEADER} if declared.versioned else {})
