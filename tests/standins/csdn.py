"""CSDN's console on loopback (wire 3.1): signed calls, drafts that become articles under their id, lists.

    python -m tests.standins.csdn --port 9000 --journal published.jsonl --account alice=the-user-token

Calls have names for faults: check, draft, save, publish, list. An account is known by its `UserToken`.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from tests.standins.platform import Call, Fault, Kind, PlatformServer, Reply, serve_forever

HOST = "bizapi.csdn.net"
SAVE = "/blog-console-api/v3/mdeditor/saveArticle"
APP_KEY = "203803574"
APP_SECRET = "the-secret-of-the-web-editor"
FIRST_ID = 140_000_000


@dataclass
class Article:
    """An article and what it was saved as."""

    id: str
    account: str
    content: dict[str, Any]
    public: bool = False


class CsdnServer(PlatformServer):
    """The server; it refuses calls whose signature does not fit, as CSDN's gateway does."""

    hosts = (HOST,)

    def __init__(self, port: int = 0, journal: Path | None = None) -> None:
        super().__init__(port, journal)
        self.sessions: dict[str, str] = {}
        self.saved: dict[str, Article] = {}
        self.nonces: set[str] = set()

    def add_account(self, name: str, **given: str) -> None:
        """An account whose `UserToken` is `secret`."""
        with self.lock:
            self.sessions = {value: one for value, one in self.sessions.items() if one != name}
            self.sessions[given["secret"]] = name

    def recognise(self, call: Call) -> tuple[str, str]:
        """By path, and for saving by what is saved."""
        account = self.sessions.get(call.cookies.get("UserToken", ""), "")
        if call.path == SAVE:
            content = call.json
            if content.get("status") == 0:
                return "publish", account
            return ("save" if content.get("id") else "draft"), account
        names = {"/blog-console-api/v1/user/info": "check", "/blog-console-api/v1/article/list": "list"}
        return names.get(call.path, ""), account

    def refusal(self, fault: Fault) -> Reply:
        """HTTP statuses for the gateway, codes in the body for the console."""
        waits = [("Retry-After", f"{fault.seconds:.0f}")] * (fault.seconds > 0)
        replies = {
            Kind.EXPIRE: _console(401, "用户未登录"),
            Kind.RATE_LIMIT: Reply(429, {"message": "Throttled"}, waits),
            Kind.HIDE: _console(400, "暂不支持查看"),
            Kind.REFUSE: _console(400, fault.text or "标签需要更高等级"),
        }
        return replies.get(fault.kind) or Reply(502, "<html>Bad Gateway</html>")

    def serve(self, name: str, account: str, call: Call) -> Reply:
        """What the console answers to a signed call of a logged-in account."""
        if refused := self._gateway(call):
            return refused
        if not account:
            return self.refusal(Fault(Kind.EXPIRE))
        if name == "check":
            return _console(200, "success", {"username": account, "nickname": account})
        if name == "list":
            return self._list(account)
        if name in {"draft", "save", "publish"}:
            return self._save(account, call.json, public=name == "publish")
        return Reply(404, {"code": 404, "message": "not found"})

    def _gateway(self, call: Call) -> Reply | None:
        nonce = call.headers.get("x-ca-nonce", "")
        path = call.path + (f"?{urlencode(call.query)}" if call.query else "")
        lines = [
            call.method,
            call.headers.get("accept", ""),
            "",
            call.headers.get("content-type", ""),
            "",
            f"x-ca-key:{call.headers.get('x-ca-key', '')}",
            f"x-ca-nonce:{nonce}",
            path,
        ]
        mac = hmac.new(APP_SECRET.encode(), "\n".join(lines).encode(), hashlib.sha256).digest()
        fits = base64.b64encode(mac).decode() == call.headers.get("x-ca-signature")
        named = call.headers.get("x-ca-signature-headers") == "x-ca-key,x-ca-nonce"
        if not (fits and named and call.headers.get("x-ca-key") == APP_KEY):
            return Reply(403, {"message": "HMAC signature does not match"})
        if nonce in self.nonces:
            return Reply(403, {"message": "nonce used twice"})
        self.nonces.add(nonce)
        return None

    def _save(self, account: str, content: dict[str, Any], *, public: bool) -> Reply:
        if not str(content.get("title") or "").strip() or not content.get("content"):
            return _console(400, "标题或内容不能为空")
        identifier = str(content.get("id") or "")
        if not identifier:
            identifier = str(FIRST_ID + len(self.saved) + 1)
            self.saved[identifier] = Article(identifier, account, content)
        article = self.saved.get(identifier)
        if article is None or article.account != account:
            return _console(404, "文章不存在")
        article.content = content
        if public:
            again = article.public
            article.public = True
            self.note(account, identifier, str(content["title"]), again=again)
        url = f"https://blog.csdn.net/{account}/article/details/{identifier}"
        return _console(200, "success", {"id": int(identifier), "title": content["title"], "url": url})

    def _list(self, account: str) -> Reply:
        own = [one for one in self.saved.values() if one.account == account and one.public]
        newest = sorted(own, key=lambda one: int(one.id), reverse=True)[:20]
        listed = [{"articleId": one.id, "title": one.content["title"]} for one in newest]
        return _console(200, "success", {"list": listed, "total": len(own)})


def _console(code: int, message: str, data: Any = None) -> Reply:
    return Reply(200, {"code": code, "message": message, "data": data})


if __name__ == "__main__":
    serve_forever(CsdnServer, __doc__ or "")
