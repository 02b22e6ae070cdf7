"""What `check` and `child --check` look at on a child's machine: settings, the way to its parent, and what the parent lets it do."""

from __future__ import annotations

import email.utils
import os
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from urllib3.util import parse_url

from backend.cli.child_settings import is_plain, troubles
from backend.cli.config_writing import is_open_to_others
from backend.cli.findings import Finding
from backend.cli.language import language, say
from backend.domain import wire
from backend.domain.connecting import judge_error
from backend.domain.errors import CascadeError, CredentialsRefused, ParentAway, ParentRefused, WorkError
from backend.domain.identifiers import new_id
from backend.domain.ports import HttpRequest, HttpResponse
from backend.domain.protocol import INSTANCE_REFUSED, PROTOCOL, Capabilities
from backend.domain.wire import Claim
from backend.outbound.proxies import Proxies
from backend.outbound.trusted import TrustedHttpClient
from backend.workers import condition
from backend.workers.parent import Call, Pair, Parent
from config import Settings

ANSWER_SECONDS = 10.0
ANSWER_BYTES = 256 * 1024
# TLS, signatures and cron all read the clock; a minute is harmless to each of them.
SKEW_SECONDS = 60.0


def look_at_child(settings: Settings) -> Iterator[Finding]:
    """Everything, in the order in which one thing needs the other; nothing is claimed and no beat is sent."""
    found = list(troubles(settings))
    if found:
        yield Finding("child", "".join(f"\n      {one}" for one in found), say("fix_child_settings"))
        return
    yield Finding("child", say("child_settings_ok", url=settings.parent_url))
    yield from _secrecy(settings)
    way = Way(settings, TrustedHttpClient(Path(settings.ca_file) if settings.ca_file else None))
    yield from way.look()


def _secrecy(settings: Settings) -> Iterator[Finding]:
    if is_plain(settings.parent_url):
        yield Finding(
            "tls", say("plain_parent", url=settings.parent_url), say("fix_plain_parent"), warns=True
        )
    file = settings.config_file
    if file is not None and settings.api_secret and is_open_to_others(file):
        yield Finding("config.yaml", say("config_open", path=file), say("fix_config_open", path=file))


@dataclass(frozen=True, slots=True)
class Way:
    """The way to the parent, one step after the other; the first that fails ends it."""

    settings: Settings
    http: TrustedHttpClient

    def look(self) -> Iterator[Finding]:
        """What each step found."""
        name = self._look_up_name()
        yield name
        if name.problem:
            return
        before = time.time()
        try:
            response = self._get("/livez")
        except WorkError as error:
            verdict = judge_error(error)
            subject = "tls" if error.code == "tls_failed" else "connection"
            yield Finding(
                subject, verdict.error(language()) or "", verdict.hint(language()) or say("fix_setting")
            )
            return
        yield from self._answered(response, before, time.time())
        yield from self._permissions()

    def _look_up_name(self) -> Finding:
        parts = urlsplit(self.settings.parent_url)
        host = parts.hostname or ""
        proxy = Proxies.from_environ(os.environ).choose(parse_url(self.settings.parent_url))
        if proxy:
            return Finding("dns", say("by_proxy", host=host, proxy=parse_url(proxy).host))
        try:
            found = socket.getaddrinfo(host, parts.port or 443, type=socket.SOCK_STREAM)
        except OSError as error:
            return Finding("dns", say("name_unknown", host=host, detail=error.strerror), say("fix_name"))
        addresses = sorted({str(one[4][0]) for one in found})
        return Finding("dns", say("name_known", host=host, addresses=", ".join(addresses)))

    def _get(self, path: str) -> HttpResponse:
        request = HttpRequest(
            "GET",
            self.settings.parent_url.rstrip("/") + path,
            seconds=ANSWER_SECONDS,
            max_bytes=ANSWER_BYTES,
            follow_redirects=False,
        )
        return self.http.send(request)

    def _answered(self, response: HttpResponse, before: float, after: float) -> Iterator[Finding]:
        said = say(
            "connection_ok", url=self.settings.parent_url, milliseconds=f"{(after - before) * 1000:.0f}"
        )
        yield Finding("connection", said)
        if urlsplit(self.settings.parent_url).scheme == "https":
            yield Finding("tls", say("tls_ok", by=self.settings.ca_file or say("usual_certificates")))
        skew = clock_skew(response.headers, before, after)
        if skew is None:
            yield Finding("clock", say("clock_unknown"))
        elif abs(skew) > SKEW_SECONDS:
            yield Finding("clock", say("clock_off", seconds=f"{skew:+.0f}"), say("fix_clock"))
        else:
            yield Finding("clock", say("clock_ok", seconds=f"{abs(skew):.0f}"))

    def _permissions(self) -> Iterator[Finding]:
        """One claim of nothing at all: it shows both whether the pair is good and whether work may be claimed with it."""
        pair = Pair(self.settings.api_key, self.settings.api_secret)
        running = condition.read(self.settings.data_dir)
        lives = running is not None and running.is_fresh(time.time())
        claim = Claim(
            claim_id=new_id(),
            instance=running.instance if running is not None and lives else new_id(),
            slots=0,
            protocol=PROTOCOL,
            capabilities=Capabilities(kinds=()),
        )
        parent = Parent(self.settings.parent_url, self.http, lambda: pair)
        try:
            parent.call(
                Call("POST", "/claim-task?wait=0", wire.plain(claim), seconds=ANSWER_SECONDS, patience=0.0)
            )
        except CredentialsRefused as error:
            yield Finding("credentials", str(error.params["detail"]), say("fix_credentials"))
        except ParentRefused as error:
            if error.parent_code == INSTANCE_REFUSED:
                yield Finding("credentials", say("credentials_ok", api_key=pair.api_key))
                yield Finding("claims", str(error.params["detail"]), say("fix_instance"))
            else:
                fix = say("fix_not_parent" if error.parent_status in {404, 405} else "fix_claims")
                yield Finding("claims", error.sentence(language()), fix)
        except ParentAway as error:
            yield Finding("parent", error.sentence(language()), say("fix_parent"))
        except CascadeError as error:
            yield Finding("parent", error.sentence(language()), say("fix_parent"))
        else:
            yield Finding("credentials", say("credentials_ok", api_key=pair.api_key))
            yield Finding("claims", say("claims_ok"))
            if not lives:
                self._leave(parent, claim.instance)

    def _leave(self, parent: Parent, instance: str) -> None:
        """The claim took the node's place, where nobody had it: the child that starts next must find it free."""
        body = {"instance": instance, "signs_off": True}
        with suppress(CascadeError):
            parent.call(Call("POST", "/heartbeat", body, seconds=ANSWER_SECONDS, patience=0.0))


def clock_skew(headers: Mapping[str, str], before: float, after: float) -> float | None:
    """By how many seconds this machine's clock is ahead of the parent's; its header says whole seconds. `None` when it tells nothing."""
    try:
        theirs = email.utils.parsedate_to_datetime(headers.get("date", "")).timestamp()
    except (TypeError, ValueError):
        return None
    ours = datetime.fromtimestamp((before + after) / 2, UTC).timestamp()
    return ours - (theirs + 0.5)
