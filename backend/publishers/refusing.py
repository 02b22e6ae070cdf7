"""Answers of platforms as the errors that the publisher's port promises; their words never repeat a secret."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from backend.domain.answers import retry_after
from backend.domain.errors import CascadeError, WorkError
from backend.domain.ports import HttpResponse
from backend.domain.publishing import Credentials
from backend.domain.secrecy import excerpt, worth_hiding

SLOW_DOWN_SECONDS = 60.0


def secrets_of(credentials: Credentials) -> tuple[str, ...]:
    """Everything secret in them."""
    values = [cookie.value for cookie in credentials.cookies]
    return worth_hiding([*values, *credentials.fields.values()])


def words(response: HttpResponse, credentials: Credentials, said: str = "") -> str:
    """The platform's own words on one line, its secrets taken out."""
    text = said or response.body.decode("utf-8", "replace")
    return excerpt(f"HTTP {response.status}: {text}".rstrip(": "), secrets_of(credentials))


def wait_of(headers: Mapping[str, str], usual: float = SLOW_DOWN_SECONDS) -> float:
    """Seconds that the platform asks for, or the usual ones."""
    asked = retry_after(headers.get("retry-after", ""), datetime.now(UTC))
    return usual if asked is None else asked


def insist(platform: str, errors: Sequence[CascadeError]) -> None:
    """Refuse to go on with what the platform can't take. Raises `WorkError` with all of it."""
    if errors:
        detail = " ".join(error.sentence() for error in errors)
        raise WorkError("rejected", permanent=True, platform=platform, detail=detail)


def expired(platform: str, response: HttpResponse, said: str) -> WorkError:
    """The login is not accepted any more."""
    return WorkError("session_expired", platform=platform, detail=said, response_status=response.status)


def too_fast(platform: str, response: HttpResponse, said: str, usual: float = SLOW_DOWN_SECONDS) -> WorkError:
    """The platform wants the account to wait."""
    wait = wait_of(response.headers, usual)
    return WorkError(
        "rate_limited",
        retry_after=wait,
        platform=platform,
        seconds=round(wait),
        detail=said,
        response_status=response.status,
    )


def rejected(platform: str, response: HttpResponse, said: str) -> WorkError:
    """The platform does not want the article."""
    return WorkError(
        "rejected", permanent=True, platform=platform, detail=said, response_status=response.status
    )


def failed(platform: str, response: HttpResponse, said: str, *, ambiguous: bool) -> WorkError:
    """The platform had a fault of its own."""
    return WorkError(
        "platform_failed",
        ambiguous=ambiguous,
        platform=platform,
        status=response.status,
        detail=said,
        response_status=response.status,
    )
