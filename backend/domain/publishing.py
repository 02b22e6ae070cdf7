"""What crosses between the phases when an article is published or an account is checked: frozen plain data.

Everything here survives JSON, because an outcome may wait in the outbox or travel to the parent. Times are aware UTC.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class Mode(StrEnum):
    """What an execution of a publish task may do. `CONFIRM` only asks the platform: the article was submitted before."""

    PUBLISH = "publish"
    CONFIRM = "confirm"


class Errand(StrEnum):
    """What account work is for."""

    CHECK = "check"
    LOGIN = "login"


class Health(StrEnum):
    """How an account is. `UNKNOWN` was never checked; it and `EXPIRING` still publish, the rest hold their tasks."""

    UNKNOWN = "unknown"
    OK = "ok"
    EXPIRING = "expiring"
    EXPIRED = "expired"
    NEEDS_LOGIN = "needs_login"
    COOLING = "cooling"

    @property
    def may_publish(self) -> bool:
        """Whether work of the account may begin."""
        return self in {Health.UNKNOWN, Health.OK, Health.EXPIRING}


class CredentialKind(StrEnum):
    """In what form an account proves itself."""

    COOKIES = "cookies"
    PASSWORD = "password"  # noqa: S105 - the name of a form, no secret
    TOKEN = "token"  # noqa: S105 - the name of a form, no secret


@dataclass(frozen=True, slots=True)
class Cookie:
    """One cookie of a logged-in browser. `expires` is empty for one that ends with the session."""

    name: str
    value: str = field(repr=False)
    domain: str = ""
    path: str = "/"
    expires: datetime | None = None


@dataclass(frozen=True, slots=True)
class Credentials:
    """What an account proves itself with, decrypted; never logged, hence without a representation.

    `fields` holds what the platform names: `username`, `password`, `token`, `url`, `secret`, `app_key`, ….
    """

    cookies: tuple[Cookie, ...] = field(default=(), repr=False)
    fields: dict[str, str] = field(default_factory=dict, repr=False)

    @property
    def kinds(self) -> frozenset[CredentialKind]:
        """The forms it holds."""
        found = {CredentialKind.COOKIES} if self.cookies else set()
        if self.fields.get("password"):
            found.add(CredentialKind.PASSWORD)
        if any(self.fields.get(name) for name in ("token", "secret", "app_secret")):
            found.add(CredentialKind.TOKEN)
        return frozenset(found)


@dataclass(frozen=True, slots=True)
class Manuscript:
    """The article that a user wants on a platform, as it was written. `content_format` is `markdown` or `html`.

    `draft` asks for a draft only: nothing becomes public.
    """

    title: str
    content: str
    content_format: str = "markdown"
    cover: str = ""
    tags: tuple[str, ...] = ()
    draft: bool = False


@dataclass(frozen=True, slots=True)
class PublishOrder:
    """One publish task for one execution.

    `draft_id` is the draft that an earlier execution made; `known_ids` are the account's articles noted before
    `submitted_at`, in the platform's ids. `key` stays the same over all attempts.
    """

    task_id: str
    account_id: str
    platform: str
    credential_version: int
    credentials: Credentials = field(repr=False)
    manuscript: Manuscript
    mode: Mode = Mode.PUBLISH
    draft_id: str = ""
    submitted_at: datetime | None = None
    known_ids: tuple[str, ...] = ()
    key: str = ""


@dataclass(frozen=True, slots=True)
class AccountOrder:
    """One errand for one account."""

    account_id: str
    platform: str
    errand: Errand
    credential_version: int
    credentials: Credentials = field(repr=False)


@dataclass(frozen=True, slots=True)
class AccountVerdict:
    """What was learnt about an account; applied only while `credential_version` is still the current one.

    `until` is when a cooling account may go on. `expires_at` is the earliest needed cookie's end, where it is known.
    `refreshed` replaces the credentials (and makes a new version): after a login, or when the platform renewed a cookie.
    """

    account_id: str
    credential_version: int
    health: Health
    code: str = ""
    reason: str = ""
    until: datetime | None = None
    expires_at: datetime | None = None
    profile: str = ""
    refreshed: Credentials | None = field(default=None, repr=False)


def web_address(url: str) -> str:
    """The address as people may be shown it: empty for what is none on the web, whoever said it."""
    return url[:2048] if url.startswith(("https://", "http://")) else ""


class Presence(StrEnum):
    """What the platform says about an article that may have been published."""

    THERE = "there"
    NOT_THERE = "not_there"
    UNKNOWN = "unknown"
    """The platform did not tell: its lists were hidden, or more than one article could be it."""


@dataclass(frozen=True, slots=True)
class Published:
    """An article that is on the platform (or, where only a draft was asked for, a draft that is saved)."""

    platform_id: str
    url: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """What `find_published` found. `published` is set when it is there; `reason` says why it is not known."""

    presence: Presence
    published: Published | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A draft at the platform. `warnings` name what it does not take (left out or changed).

    `url` is where its author can see it, for who asked for a draft only. `kept` is what the publisher itself wants to have
    again when it publishes.
    """

    draft_id: str
    warnings: tuple[str, ...] = ()
    url: str = ""
    kept: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Promise:
    """What a platform lets us promise.

    `repeatable`: publishing the same draft or key again gives the same article and never a second one.
    `finds`: the platform can be asked whether an article is there.
    `quiet_seconds`: at least so long after a doubtful call before its absence means anything.
    """

    repeatable: bool
    finds: bool
    quiet_seconds: float = 60.0


@dataclass(frozen=True, slots=True)
class DraftSaved:
    """A checkpoint: the draft exists; every retry continues it."""

    draft_id: str


@dataclass(frozen=True, slots=True)
class Submission:
    """A checkpoint: the call that publishes comes next. It is refused when the task was cancelled meanwhile."""

    known_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LoginPrompt:
    """A checkpoint: what a person must look at to log in. `link` is the content of the QR code."""

    account_id: str
    link: str = field(repr=False)
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class LoginScreenshot:
    """A checkpoint: what a login's page showed when only a person could go on. `image` is a JPEG in base64."""

    account_id: str
    image: str = field(repr=False)


LoginSight = LoginPrompt | LoginScreenshot


@dataclass(frozen=True, slots=True)
class PublishReport:
    """How one execution of a publish task ended, in facts; what follows from them is decided in `publish_endings`.

    Exactly one of `published`, `finding` (confirm mode, nothing there or not known) and the outcome's `failure` is set.
    `submitted`: the call that publishes was begun in this execution. `warnings` are for the author. `repeatable`, `finds` and
    `quiet_seconds` are the platform's `Promise`.
    """

    task_id: str
    published: Published | None = None
    finding: Finding | None = None
    submitted: bool = False
    repeatable: bool = False
    finds: bool = True
    quiet_seconds: float = 60.0
    warnings: tuple[str, ...] = ()
