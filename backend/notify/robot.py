"""Chat robots through Apprise: the robots' own addresses become its plug-ins, their answers become failures."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, urlsplit, urlunsplit

import requests
from apprise import Apprise, AppriseAsset, NotifyFormat
from apprise.exception import AppriseException
from apprise.plugins.bark import NotifyBark

from backend.domain.answers import classify_robot_answer, classify_status
from backend.domain.errors import InvalidInput, WorkError
from backend.domain.orders import DeliveryOrder, Failure, FrozenMessage, Receipt
from backend.domain.ports import HttpClient
from backend.domain.receivers import Kind, receiver_of, robot_address
from backend.domain.rendering import NOTICE
from backend.domain.secrecy import excerpt
from backend.notify.robot_plugins import DingTalkMarkdown, FeishuCard, WeComMarkdown
from backend.notify.secrecy import refusal, secrets_of
from backend.notify.sizes import fit
from backend.outbound.adapter import GuardedAdapter, Recording, recorded

SECONDS = 20.0

# Bark's own names for what its address may carry, and Apprise's.
BARK_OPTIONS = {
    "sound": "sound",
    "level": "level",
    "group": "group",
    "icon": "icon",
    "url": "click",
    "badge": "badge",
    "volume": "volume",
    "call": "call",
    "subtitle": "subtitle",
    "copy": "copy",
    "isArchive": "archive",
}


class RobotNotifier:
    """Implements `Notifier` for chat robots, which cannot recognise a repeat.

    `hosts` sends what is meant for a service's host elsewhere: {"oapi.dingtalk.com": "https://ding.example.com"}.
    `seconds` bounds the whole exchange.
    """

    name = "robot"
    recognises_repeats = False

    def __init__(self, hosts: Mapping[str, str] | None = None, seconds: float = SECONDS) -> None:
        self._hosts = dict(hosts or {})
        self._seconds = seconds
        self._asset = AppriseAsset(
            app_id="Cascade", app_desc="Cascade", http_redirects=False, image_url_mask="", image_path_mask=""
        )
        # Apprise writes tokens into its log when it finds them malformed.
        logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)

    def send(
        self,
        delivery: DeliveryOrder,
        message: FrozenMessage,
        http: HttpClient,  # noqa: ARG002
    ) -> Receipt:
        """Send it once; Apprise's own requests go through the egress guard. Raises `WorkError`."""
        _insist_on_guard()
        kind, plugin = self._plugin(delivery)
        title, body, cut = fit(kind, message.title, message.body)
        secrets = secrets_of(delivery)
        with recorded() as recording:
            accepted = _notify(plugin, "" if kind is Kind.WECOM else title, body)
        if failure := _failure(kind, accepted, recording):
            raise refusal(failure, recording.status, secrets)
        warning = "; ".join(filter(None, (message.warning, cut)))
        return Receipt(delivery.delivery_id, recording.status, excerpt(recording.excerpt, secrets), warning)

    def _plugin(self, delivery: DeliveryOrder) -> tuple[Kind, Any]:
        if delivery.message_type != NOTICE:
            raise WorkError("bad_message_type", permanent=True)
        url = delivery.web_hook_url.strip()
        try:
            kind = receiver_of(url, NOTICE).kind
            plugin = self._build(kind, url)
        except InvalidInput as error:
            detail = str(error.params.get("detail", ""))
            raise WorkError(error.code, permanent=True, detail=detail) from error
        except AppriseException:
            # Its text may hold the token.
            plugin = None
        if plugin is None:
            raise WorkError("robot_unsent", permanent=True)
        # The guard takes the sum of the two for the exchange.
        plugin.socket_connect_timeout, plugin.socket_read_timeout = self._seconds / 4, self._seconds * 3 / 4
        plugin.redirects = False
        return kind, plugin

    def _build(self, kind: Kind, url: str) -> Any:
        if kind is Kind.APPRISE:
            return Apprise.instantiate(url, asset=self._asset)
        plugin = _native(kind, url, self._asset)
        plugin.notify_url = self._moved(plugin.notify_url)
        return plugin

    def _moved(self, url: str) -> str:
        parts = urlsplit(url)
        base = self._hosts.get(parts.netloc)
        if base is None:
            return url
        return urlunsplit(parts._replace(scheme=urlsplit(base).scheme, netloc=urlsplit(base).netloc))


def _native(kind: Kind, url: str, asset: AppriseAsset) -> Any:
    address = robot_address(url)
    if kind is Kind.DINGTALK:
        dingtalk: Any = DingTalkMarkdown
        return dingtalk(token=address.token, secret=address.secret or None, asset=asset)
    if kind is Kind.FEISHU:
        return FeishuCard(address.token, address.secret, address.host, asset=asset)
    if kind is Kind.WECOM:
        return WeComMarkdown(address.token, asset=asset)
    return _bark(url, address.host, address.token, asset)


def _bark(url: str, netloc: str, token: str, asset: AppriseAsset) -> Any:
    parts, server = urlsplit(url), urlsplit(f"//{netloc}")
    options = {BARK_OPTIONS[name]: value for name, value in parse_qsl(parts.query) if name in BARK_OPTIONS}
    return NotifyBark(
        targets=[token],
        host=server.hostname,
        port=server.port,
        user=server.username,
        password=server.password,
        secure=parts.scheme in {"https", "barks"},
        include_image=False,
        format=NotifyFormat.MARKDOWN,
        asset=asset,
        **options,
    )


def _insist_on_guard() -> None:
    with requests.Session() as session:
        if not isinstance(session.get_adapter("https://"), GuardedAdapter):
            raise RuntimeError(
                "the egress guard is not installed in this process: call outbound.adapter.install"
            )


def _notify(plugin: Any, title: str, body: str) -> bool:
    """Hand the message to Apprise. Raises `WorkError` for what it does not even try to send."""
    if not body.strip():
        raise WorkError("robot_unsent", permanent=True, detail="the rendered message is empty")
    try:
        return bool(
            plugin.notify(
                body=body, title=title, body_format=NotifyFormat.MARKDOWN, overflow=_overflow(plugin)
            )
        )
    except AppriseException as error:
        raise WorkError("robot_unsent", permanent=True) from error


def _overflow(plugin: Any) -> str:
    # One message in one request: a message in parts could arrive by halves.
    known = isinstance(plugin, DingTalkMarkdown | NotifyBark | FeishuCard | WeComMarkdown)
    return "upstream" if known else "truncate"


def _failure(kind: Kind, accepted: bool, recording: Recording) -> Failure | None:
    if recording.error is not None:
        raise recording.error
    if recording.count == 0:
        return Failure("robot_unsent", "", permanent=True)
    if kind is not Kind.APPRISE:
        return classify_robot_answer(kind, recording.status, recording.excerpt)
    if accepted:
        return None
    failure = classify_status(recording.status, recording.headers, datetime.now(UTC)) or Failure(
        "robot_refused", f"HTTP {recording.status}: {recording.excerpt}", permanent=True
    )
    # Of several requests the earlier ones may have told somebody.
    return replace(failure, ambiguous=recording.count > 1 and not failure.permanent)
