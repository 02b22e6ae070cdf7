"""Answers of platforms as the errors that the publisher's port promises; their words never repeat a secret."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from backend.domain.answers import retry_after
from backend.domain.errors import CascadeError, WorkError
from backend.domain.ports import Desk, HttpResponse
from backend.domain.publishing import AccountVerdict, Credentials, Health
from backend.domain.secrecy import excerpt, keys_in, worth_hiding

SLOW_DOWN_SECONDS = 60.0
EXPIRING_WITHIN = timedelta(hours=72)
HEALTH = {
    "session_expired": Health.EXPIRED,
    "login_required": Health.NEEDS_LOGIN,
    "rate_limited": Health.COOLING,
}


def secrets_of(credentials: Credentials) -> tuple[str, ...]:
    """Everything secret in them."""
    values = [*(cookie.value for cookie in credentials.cookies), *credentials.fields.values()]
    inner = [key for value in values if value.startswith("http") for key in keys_in(value)]
    return worth_hiding([*values, *inner])


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


def human_check(platform: str, response: HttpResponse, said: str, place: str) -> WorkError:
    """The platform wants to see a person before it goes on."""
    return WorkError(
        "login_required", platform=platform, place=place, detail=said, response_status=response.status
    )


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


def moved(platform: str, response: HttpResponse) -> WorkError:
    """The platform is at another address."""
    # Only where to: a redirect's query may repeat what was sent.
    place = response.headers.get("location", "").partition("?")[0][:200]
    return WorkError(
        "platform_moved", permanent=True, platform=platform, place=place, response_status=response.status
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


def verdict(error: WorkError, account_id: str, version: int) -> AccountVerdict:
    """What the error says about the account. Raises it again when it says nothing."""
    health = HEALTH.get(error.code)
    if health is None:
        raise error
    until = None
    if health is Health.COOLING:
        until = datetime.now(UTC) + timedelta(seconds=error.retry_after or SLOW_DOWN_SECONDS)
    return AccountVerdict(account_id, version, health, error.code, error.sentence(), until)


def well(account_id: str, version: int, profile: str, ends: datetime | None = None) -> AccountVerdict:
    """An account that works; it is `EXPIRING` when its login ends soon."""
    soon = ends is not None and ends - datetime.now(UTC) < EXPIRING_WITHIN
    return AccountVerdict(
        account_id, version, Health.EXPIRING if soon else Health.OK, expires_at=ends, profile=profile
    )


def stop_if_told(desk: Desk) -> None:
    """Go no further when the work must stop. Raises `WorkError`."""
    if desk.wait(0):
        raise WorkError("publish_stopped")
