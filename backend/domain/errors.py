"""The error tree: every failure has a class, a stable code and a sentence for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from backend.domain.messages import render


class CascadeError(Exception):
    """Base of every error that a person may meet.

    `code` keys the sentence in `backend.domain.messages`; `params` fill its placeholders.
    `status` is the HTTP status that the API answers with.
    """

    default_code: ClassVar[str] = "internal_error"
    status: ClassVar[int] = 500

    def __init__(self, code: str | None = None, **params: object) -> None:
        self.code = code or self.default_code
        self.params = params
        super().__init__(self.sentence())

    def sentence(self, language: str = "en") -> str:
        """The sentence for people, in `en` or `zh`."""
        return render(self.code, language, self.params)


class InvalidInput(CascadeError):
    """What the caller sent can't be used; `fields` maps a field's path to what is wrong with it.

    A field's trouble is a sentence, or an error that has its sentence in each language.
    """

    default_code = "invalid_input"
    status = 422

    def __init__(
        self,
        code: str | None = None,
        *,
        fields: Mapping[str, str | CascadeError] | None = None,
        **params: object,
    ) -> None:
        super().__init__(code, **params)
        self.troubles = dict(fields or {})
        self.fields = self.field_sentences()

    def field_sentences(self, language: str = "en") -> dict[str, str]:
        """What is wrong with each field, in `en` or `zh`."""
        return {
            path: trouble if isinstance(trouble, str) else trouble.sentence(language)
            for path, trouble in self.troubles.items()
        }


class NotFound(CascadeError):
    """The named thing does not exist (or is not the caller's)."""

    default_code = "not_found"
    status = 404


class Conflict(CascadeError):
    """The change collides with what stands."""

    default_code = "conflict"
    status = 409


class Unauthenticated(CascadeError):
    """Nobody is known to be asking."""

    default_code = "unauthenticated"
    status = 401


class Forbidden(CascadeError):
    """Somebody known may not do this."""

    default_code = "forbidden"
    status = 403


class Unavailable(CascadeError):
    """A part that is needed does not answer now; trying again later makes sense."""

    default_code = "unavailable"
    status = 503


class ParentAway(Unavailable):
    """A child's parent does not answer, or not now; `retry_after`: the seconds that it asked for."""

    default_code = "parent_away"

    def __init__(
        self, code: str | None = None, *, retry_after: float | None = None, **params: object
    ) -> None:
        super().__init__(code, **params)
        self.retry_after = retry_after


class CredentialsRefused(Unavailable):
    """A child's parent does not know its key and secret, or has switched its node off: a person must act, results wait."""

    default_code = "credentials_refused"


class ParentFailed(CascadeError):
    """A child's parent met an error of its own with this one call; others may go through."""

    default_code = "parent_failed"


class ParentRefused(CascadeError):
    """A child's parent will never take this call. `parent_code` is the parent's own code, `parent_status` its HTTP status."""

    default_code = "parent_refused"

    def __init__(
        self,
        code: str | None = None,
        *,
        parent_code: str = "",
        parent_status: int = 0,
        standing: str = "",
        **params: object,
    ) -> None:
        self.parent_code = parent_code
        self.parent_status = parent_status
        self.standing = standing
        super().__init__(code, **params)


class TooManyRequests(CascadeError):
    """The caller has to wait `retry_after` seconds."""

    default_code = "login_busy"
    status = 429

    def __init__(self, code: str | None = None, *, retry_after: int, **params: object) -> None:
        super().__init__(code, seconds=retry_after, **params)
        self.retry_after = retry_after


class ConfigurationError(CascadeError):
    """A setting or the machine stops the start; the CLI exits with code 2, and the API can't serve what needs it."""

    default_code = "bad_setting"
    status = 503


class HeldConnection(CascadeError):
    """A database connection was held, or taken, during the long work of phase 2."""

    default_code = "held_connection"


class WorkError(CascadeError):
    """A plug-in's work failed. The only error that a plug-in may raise on purpose.

    `permanent`: never retry what cannot succeed. `retry_after`: seconds that the other side asked for;
    `host_wait`: seconds for which its whole host wants to be left alone; `busy_host`: which one, behind redirects.
    `ambiguous`: the request was sent and its answer is not known.
    `detail`: the other side's own words, kept short. `response_status`: its HTTP status, 0 without an answer.
    """

    default_code = "work_failed"

    def __init__(
        self,
        code: str | None = None,
        *,
        permanent: bool = False,
        ambiguous: bool = False,
        retry_after: float | None = None,
        host_wait: float | None = None,
        busy_host: str = "",
        detail: str = "",
        response_status: int = 0,
        **params: object,
    ) -> None:
        self.response_status = response_status
        self.permanent = permanent
        self.ambiguous = ambiguous
        self.retry_after = retry_after
        self.host_wait = host_wait
        self.busy_host = busy_host
        self.detail = detail[:500]
        super().__init__(code, detail=self.detail, **params)

    def sentence(self, language: str = "en") -> str:
        """The sentence for people, with the other side's own words in their place or behind it."""
        sentence = super().sentence(language)
        return sentence if self.detail in sentence else f"{sentence} ({self.detail})"
