"""Logins."""

from __future__ import annotations

from pydantic import Field

from backend.api.schemas.common import Answer, Request


class LoginRequest(Request):
    """A login."""

    username: str = Field(max_length=200)
    password: str = Field(max_length=1000)


class LoginAnswer(Answer):
    """A token; `expires_in` is in seconds."""

    access_token: str
    token_type: str = "bearer"  # noqa: S105 - the word that OAuth2 has for it
    expires_in: int
