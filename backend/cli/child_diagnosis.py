"""What `check` looks at on a child's machine: its settings, and whether its parent knows it."""

from __future__ import annotations

from collections.abc import Iterator

from backend.cli.findings import Finding
from backend.cli.language import language, say
from backend.dispatch.node_calls import try_credentials
from backend.domain.errors import InvalidInput
from backend.domain.node_settings import check_api_url
from backend.outbound.client import GuardedHttpClient
from config import Settings

# The operator wrote the parent's address: it may be a private one.
ANYWHERE = ("0.0.0.0/0", "::/0")


def look_at_child(settings: Settings) -> Iterator[Finding]:
    """Whether this machine is set up as a child, and its parent answers and accepts its credentials."""
    if not settings.cascade_enabled:
        yield Finding("child", say("child_not_enabled"), say("fix_child_not_enabled"))
    needed = {
        "cascade.parent_api_url": settings.parent_url,
        "cascade.api_key": settings.api_key,
        "cascade.api_secret": settings.api_secret,
    }
    missing = [name for name, value in needed.items() if not value]
    if missing:
        detail = say("child_settings_missing", names=", ".join(missing))
        yield Finding("child", detail, say("fix_child_settings"))
        return
    try:
        url = check_api_url(settings.parent_url)
    except InvalidInput as error:
        yield Finding("child", error.sentence(language()), say("fix_setting"))
        return
    yield Finding("child", say("child_settings_ok", url=url))
    yield _parent(url, settings)


def _parent(url: str, settings: Settings) -> Finding:
    attempt = try_credentials(GuardedHttpClient(ANYWHERE), url, settings.api_key, settings.api_secret)
    error = attempt.verdict.error(language())
    if error is None:
        return Finding("parent", say("parent_answers", url=url))
    return Finding("parent", error, attempt.verdict.hint(language()) or say("fix_setting"))
