"""Plug-ins for Apprise where its own lack Markdown, a working signature or a host."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from typing import Any

import requests
from apprise import NotifyFormat, NotifyType
from apprise.plugins.dingtalk import NotifyDingTalk
from apprise.plugins.feishu import NotifyFeishu
from apprise.plugins.wecombot import NotifyWeComBot


class DingTalkMarkdown(NotifyDingTalk):  # type: ignore[no-untyped-call]
    """Apprise's own, with a signature that DingTalk accepts: Apprise 2.2 encodes it for the URL twice."""

    def get_signature(self) -> tuple[str, str]:
        """The time in milliseconds and the signature, not yet encoded for the URL."""
        stamp, secret = str(round(time.time() * 1000)), str(self.secret)
        mac = hmac.new(secret.encode(), f"{stamp}\n{secret}".encode(), hashlib.sha256)
        return stamp, base64.b64encode(mac.digest()).decode()


class FeishuCard(NotifyFeishu):  # type: ignore[no-untyped-call]
    """Sends an interactive card; signed when the robot has a secret, and to Lark when that is the host."""

    notify_format = NotifyFormat.MARKDOWN
    title_maxlen = 250
    body_maxlen = 1 << 20

    def __init__(self, token: str, secret: str = "", host: str = "", **options: Any) -> None:
        super().__init__(token=token, **options)  # type: ignore[no-untyped-call]
        self.secret = secret
        self.notify_url = f"https://{host or 'open.feishu.cn'}/open-apis/bot/v2/hook/{token}"

    def send(self, body: Any, title: Any = "", notify_type: Any = NotifyType.INFO, **_: Any) -> bool:  # noqa: ARG002
        """Send the card; `False` when no HTTP 200 came back."""
        return _post(self, {**card(title, body), **feishu_signature(self.secret, int(time.time()))})


class WeComMarkdown(NotifyWeComBot):  # type: ignore[no-untyped-call]
    """Sends Markdown, of which WeCom takes twice as much as of text."""

    notify_format = NotifyFormat.MARKDOWN
    body_maxlen = 1 << 20

    def __init__(self, key: str, **options: Any) -> None:
        super().__init__(key=key, **options)  # type: ignore[no-untyped-call]
        self.notify_url = self.api_url

    def send(self, body: Any, title: Any = "", notify_type: Any = NotifyType.INFO, **_: Any) -> bool:  # noqa: ARG002
        """Send the Markdown; `False` when no HTTP 200 came back."""
        return _post(self, {"msgtype": "markdown", "markdown": {"content": body}})


def card(title: str, body: str) -> dict[str, Any]:
    """The card as WeRSS sends it."""
    return {
        "msg_type": "interactive",
        "card": {
            "config": {"wide_screen_mode": True, "enable_forward": True},
            "elements": [{"tag": "div", "text": {"content": body, "tag": "lark_md"}}],
            "header": {"template": "blue", "title": {"content": title, "tag": "plain_text"}},
        },
    }


def feishu_signature(secret: str, seconds: int) -> dict[str, str]:
    """The fields that sign a message at `seconds` since 1970. Feishu's key is time and secret, its message is empty."""
    if not secret:
        return {}
    mac = hmac.new(f"{seconds}\n{secret}".encode(), b"", hashlib.sha256)
    return {"timestamp": str(seconds), "sign": base64.b64encode(mac.digest()).decode()}


def _post(plugin: Any, payload: dict[str, Any]) -> bool:
    plugin.throttle()
    try:
        response = requests.post(
            plugin.notify_url,
            data=json.dumps(payload, ensure_ascii=False).encode("utf-8", "replace"),
            headers={"User-Agent": plugin.app_id, "Content-Type": "application/json; charset=utf-8"},
            timeout=plugin.request_timeout,
            verify=plugin.verify_certificate,
            allow_redirects=False,
        )
    except requests.RequestException:
        # The recorder of the exchange knows why.
        return False
    return response.status_code == 200
