"""Join tokens, and what they are exchanged for."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import BeforeValidator, ConfigDict, Field

from backend.api.schemas.children import Said, Start
from backend.api.schemas.common import Answer, ChildRequest, Request, Whole
from backend.domain.children import text
from backend.domain.node_settings import MAX_NAME
from backend.domain.protocol import PROTOCOL

DEFAULT_TTL_SECONDS = 3600
LONGEST_TTL_SECONDS = 30 * 86_400


class JoinTokenRequest(Request):
    """For which node, and for how long the token can be used."""

    name: str = Field(max_length=MAX_NAME * 2, examples=["beijing-1"])
    ttl_seconds: Whole = Field(DEFAULT_TTL_SECONDS, ge=60, le=LONGEST_TTL_SECONDS)


class JoinTokenAnswer(Answer):
    """A new token. It is shown this once."""

    node_id: str
    name: str
    token: str
    expires_at: datetime


class JoinRequest(ChildRequest):
    """A token, and what the node says of itself."""

    model_config = ConfigDict(extra="ignore")

    token: str = Field(max_length=200)
    instance: Start = ""
    version: Annotated[str, BeforeValidator(lambda value: text(value)[:32])] = ""
    protocol: Whole = Field(1, ge=0, le=1_000)
    capabilities: Said = None


class JoinAnswer(Answer):
    """The node that was joined, and its pair. The secret is shown this once."""

    node_id: str
    name: str
    slug: str
    api_key: str
    api_secret: str
    protocol: int = PROTOCOL
