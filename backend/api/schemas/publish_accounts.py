"""Accounts on platforms; their credentials go in and never come out."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, StringConstraints

from backend.api.schemas.common import Answer, Id, OptionalId, OrEmpty, PageQuery, Request, Whole
from backend.api.schemas.publishing import Platform
from backend.domain.publishing import Errand, Health

MAX_NAME = 100
MAX_FIELDS = 20
MAX_GAP_SECONDS = 86_400
MAX_DAILY = 10_000

Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_NAME)]
FieldName = Annotated[str, StringConstraints(pattern=r"^[a-z_]{1,32}$")]
# Cookies as a text (a Cookie header, JSON, cookies.txt), a list or an object; everything else is a text.
Secrets = Annotated[
    dict[FieldName, str | list[Any] | dict[str, Any]],
    Field(
        min_length=1,
        max_length=MAX_FIELDS,
        examples=[{"cookies": "z_c0=…; _xsrf=…"}],
        description="`cookies` (a `Cookie:` line, JSON of a browser extension, or cookies.txt), `username` and `password`, "
        "`token`, or what the platform names, such as `url` and `secret`.",
    ),
]


class AccountRequest(Request):
    """An account to publish through. `node_id`: the only node that may use it; empty: any that can."""

    platform: Platform = Field(examples=["zhihu"])
    name: Name
    node_id: OptionalId = None
    credentials: Secrets
    min_gap_seconds: Whole | None = Field(None, ge=0, le=MAX_GAP_SECONDS)
    daily_limit: Whole | None = Field(None, ge=0, le=MAX_DAILY)


class AccountChangeRequest(Request):
    """What to change of an account; what is left out stays. Null gives back the platform's usual pace, or any node."""

    name: Name = ""
    node_id: OptionalId = None
    min_gap_seconds: Whole | None = Field(None, ge=0, le=MAX_GAP_SECONDS)
    daily_limit: Whole | None = Field(None, ge=0, le=MAX_DAILY)
    is_active: bool = True


class CredentialsRequest(Request):
    """Credentials in the place of those that stand."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"credentials": {"cookies": "z_c0=…"}}]})

    credentials: Secrets


class AccountPath(Request):
    """Which account."""

    account_id: Id


class AccountQuery(PageQuery):
    """Which accounts; people see their own, admins all."""

    platform: Annotated[Platform | None, OrEmpty()] = None
    health: Annotated[Health | None, OrEmpty()] = None
    user_id: OptionalId = Field(None, description="Whose; for admins.")


class CodeQuery(Request):
    """In which form."""

    format: Literal["png", "svg"] = "png"


class AccountAnswer(Answer):
    """An account without its credentials. `health_reason` says what its health is about, `remedy` what to do about it.

    `profile` is the account's name on the platform, `expires_at` when the first cookie that it needs ends, `waiting` how
    many tasks of it have not ended. `errand_wanted` is the check or login that is asked for; `busy`: something is under way.
    `credential_version` grows with every change of the credentials. `login_code_until`: until then a code to log in with can be fetched.
    """

    id: str
    platform: str = Field(examples=["zhihu"])
    name: str = Field(examples=["ana's column"])
    user_id: str
    user_name: str
    node_id: str | None
    node_name: str
    health: Health
    health_code: str = Field(examples=[""])
    health_reason: str = Field(examples=[""])
    remedy: str = Field(examples=[""])
    waiting: int
    busy: bool
    errand_wanted: Errand | None
    credential_version: int
    cooling_until: datetime | None
    expires_at: datetime | None
    checked_at: datetime | None
    check_due_at: datetime | None
    last_used_at: datetime | None
    login_code_until: datetime | None
    min_gap_seconds: int | None
    daily_limit: int | None
    is_active: bool
    profile: str = Field(examples=["Ana"])
    created_at: datetime
    updated_at: datetime | None


class VisitAnswer(Answer):
    """Something that was done with an account: a check, a login, or a publish task's work."""

    allocation_id: str
    kind: str = Field(examples=["account"])
    errand: Errand | None
    state: str = Field(examples=["completed"])
    reason: str
    error_code: str
    error_message: str
    created_at: datetime
    ended_at: datetime | None


class NewAccountAnswer(Answer):
    """The id of what was made."""

    id: str


class ErrandAnswer(Answer):
    """A check or login that is asked for; how it ends shows in the account's health."""

    account_id: str
    errand: Errand
    credential_version: int
