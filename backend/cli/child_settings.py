"""What a child's settings must hold before anything starts: every trouble is named with where to mend it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

from backend.bootstrap import load_settings
from backend.cli.child_config import is_loopback
from backend.cli.language import language, say
from backend.cli.opening import make_directory
from backend.domain.errors import CascadeError, ConfigurationError, InvalidInput
from backend.domain.node_settings import check_api_url
from backend.outbound.trusted import context_trusting
from config import SETTINGS, Settings

FILE_NAME = "config.yaml"
# As they stand in our documents and in those of WeRSS.
PLACEHOLDERS = ("xxxxx", "YOUR_")

log = logging.getLogger(__name__)


def require_child(settings: Settings) -> Settings:
    """The settings, with the addresses in their normal form. Raises `ConfigurationError` that names all that is wrong."""
    found = list(troubles(settings))
    if found:
        raise ConfigurationError(
            "child_settings", count=len(found), detail="".join(f"\n  {one}" for one in found)
        )
    return settings


def troubles(settings: Settings) -> Iterator[str]:
    """What is missing or can't be used, a sentence each."""
    if not settings.cascade_enabled:
        yield _sentence(settings, "cascade_enabled", say("must_be", value="true"))
    if settings.node_type != "child":
        yield _sentence(settings, "node_type", say("must_be", value="child"))
    for name, check in (("parent_url", _check_url), ("api_key", _check_word), ("api_secret", _check_word)):
        value = str(getattr(settings, name))
        detail = _refusal(check, value) if value else say("is_missing")
        if detail:
            yield _sentence(settings, name, detail)
    if settings.callback_url and (detail := _refusal(_check_url, settings.callback_url)):
        yield _sentence(settings, "callback_url", detail)
    if settings.ca_file and (detail := _refusal(lambda path: context_trusting(Path(path)), settings.ca_file)):
        yield _sentence(settings, "ca_file", detail)


def _sentence(settings: Settings, name: str, detail: str) -> str:
    setting = SETTINGS[name]
    file = settings.config_file or settings.data_dir / FILE_NAME
    return say(
        "child_setting_bad",
        name=setting.path,
        detail=detail,
        file=file,
        environment=setting.environment,
    )


def _refusal(check: Callable[[str], object], value: str) -> str:
    try:
        check(value)
    except CascadeError as error:
        return error.sentence(language())
    return ""


def _check_url(url: str) -> None:
    check_api_url(url)


def _check_word(value: str) -> None:
    # What stands there is a secret: it is not repeated.
    if any(sign in value for sign in PLACEHOLDERS):
        raise InvalidInput("credential_placeholder")
    if not value.isascii() or not value.isprintable() or any(sign in value for sign in " :"):
        raise InvalidInput("credential_malformed")


def is_plain(url: str) -> bool:
    """Whether secrets would travel to this address where others can read them."""
    parts = urlsplit(url)
    return parts.scheme == "http" and not is_loopback(parts.hostname or "")


def warn_if_plain(settings: Settings) -> None:
    """Say at every start that the parent is reached without TLS."""
    if is_plain(settings.parent_url):
        log.warning("%s", say("plain_parent", url=settings.parent_url))


def child_settings(config: Path | None, data_dir: Path | None) -> Settings:
    """The settings of a child, checked, with its data directory made. Raises `ConfigurationError`."""
    settings = require_child(load_settings(data_dir=data_dir, config_file=config))
    make_directory(settings.data_dir)
    return settings
