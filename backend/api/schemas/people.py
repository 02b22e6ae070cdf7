"""Logins, users and access keys."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, ConfigDict, Field

from backend.api.schemas.common import Answer, FormRequest, Id, OptionalId, PageQuery, Request

Role = Literal["admin", "operator", "viewer"]
Name = Annotated[str, Field(min_length=1, max_length=100, examples=["ana"])]
Password = Annotated[str, Field(max_length=1000, examples=["correct horse battery"])]


def _aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


# Without a zone it is UTC, as in every answer.
Moment = Annotated[datetime, AfterValidator(_aware)]


class LoginRequest(FormRequest):
    """A login."""

    username: str = Field(max_length=200, examples=["ana"])
    password: Password


class TokenRequest(LoginRequest):
    """A login as OAuth2's password grant sends it; what it says of scope and client is not used."""

    grant_type: Literal["password"] = "password"
    scope: str = Field("", max_length=1000)
    client_id: str = Field("", max_length=1000)
    client_secret: str = Field("", max_length=1000)


class LoginAnswer(Answer):
    """A token; `expires_in` is in seconds."""

    access_token: str
    token_type: str = "bearer"  # noqa: S105 - the word that OAuth2 has for it
    expires_in: int = Field(examples=[259200])


class VerifyAnswer(Answer):
    """Who is asking. `expires_at` is null for an access key without an end."""

    is_valid: Literal[True] = True
    username: str = Field(examples=["ana"])
    role: str = Field(examples=["admin"])
    expires_at: datetime | None


class LogoutRequest(Request):
    """What to end: this login, or all of the user's."""

    model_config = ConfigDict(openapi_extra={"required": False})  # type: ignore[typeddict-unknown-key]  # read by our routes

    everywhere: bool = False


class UserRequest(Request):
    """A user to add."""

    name: Name
    password: Password
    role: Role


class UserChangeRequest(Request):
    """What to change of a user; what is left out stays. Who changes the own password sends the present one too."""

    role: Role | None = None
    is_active: bool | None = None
    password: Password | None = None
    old_password: Password | None = None


class UserPath(Request):
    """Which user; `me` is the one who asks."""

    user_id: Id


class UserAnswer(Answer):
    """Somebody who may log in."""

    id: str
    name: str
    role: Role
    is_active: bool
    created_at: datetime


class KeyRequest(Request):
    """An access key to make; without a role it may do what its user may, without an end it lives until it is revoked."""

    name: Name
    role: Role | None = None
    expires_at: Moment | None = None


class KeyQuery(PageQuery):
    """Whose keys: one's own, or for admins those of the user that is named, or everybody's with `all`."""

    user_id: OptionalId = None
    all: bool = False


class KeyPath(Request):
    """Which access key."""

    key_id: Id


class KeyAnswer(Answer):
    """An access key without its secret; `last_used_at` is right within five minutes."""

    id: str
    user_id: str
    user_name: str
    name: str
    access_key: str
    role: Role
    expires_at: datetime | None
    last_used_at: datetime | None
    created_at: datetime


class NewKeyAnswer(KeyAnswer):
    """An access key with its secret, which is shown this once; `authorization` is the header's whole value."""

    secret: str
    authorization: str = Field(examples=["AK-SK WK…:SK…"])
