"""Zhihu on loopback, as faithfully as wire section 2 knows it: drafts, publishing, lists, pages, pictures, QR login.

    python -m tests.standins.zhihu --port 9000 --journal published.jsonl --account alice=z-c0-of-alice

Calls have names for faults: check, draft, save, read, publish, list, members, page, topics, topic, image_url, image, store,
image_state, udid, code, scan, login. An account is known by its `z_c0`; the `_xsrf` cookie may be anything.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from tests.standins.platform import Call, Fault, Kind, PlatformServer, Reply, serve_forever

WWW, ZHUANLAN, API, STORE = (
    "www.zhihu.com",
    "zhuanlan.zhihu.com",
    "api.zhihu.com",
    "zhihu-pics-upload.zhimg.com",
)
ROUTES = (
    ("GET", WWW, r"/api/v4/me", "check"),
    ("POST", ZHUANLAN, r"/api/articles/drafts", "draft"),
    ("PATCH", ZHUANLAN, r"/api/articles/(\d+)/draft", "save"),
    ("GET", ZHUANLAN, r"/api/articles/(\d+)/draft", "read"),
    ("DELETE", ZHUANLAN, r"/api/articles/(\d+)/draft", "drop"),
    ("POST", ZHUANLAN, r"/api/articles/(\d+)/topics", "topic"),
    ("GET", ZHUANLAN, r"/api/autocomplete/topics", "topics"),
    ("POST", ZHUANLAN, r"/api/uploaded_images", "image_url"),
    ("POST", API, r"/images", "image"),
    ("GET", API, r"/images/([\w-]+)", "image_state"),
    ("PUT", STORE, r"/(v2-\w+)", "store"),
    ("POST", WWW, r"/api/v4/content/publish", "publish"),
    ("GET", WWW, r"/api/v4/creators/creations/v2/article", "list"),
    ("GET", WWW, r"/api/v4/members/([\w-]+)/articles", "members"),
    ("GET", ZHUANLAN, r"/p/(\d+)", "page"),
    ("POST", WWW, r"/udid", "udid"),
    ("POST", WWW, r"/api/v3/account/api/login/qrcode", "code"),
    ("GET", WWW, r"/api/v3/account/api/login/qrcode/([\w-]+)/scan_info", "scan"),
    ("POST", WWW, r"/api/v3/account/api/login/qrcode/([\w-]+)/login", "login"),
)
OPEN = frozenset({"page", "udid", "code", "scan", "login", "store", ""})
WRITING = frozenset({"draft", "save", "drop", "topic", "image_url", "publish"})
FIRST_ID = 1_900_000_000_000_000_000
KEY_OF_STORE = "the store's key"
SOFT_404 = "<title>你似乎来到了没有知识存在的荒原 - 知乎</title>"
WORDS = {
    Kind.CAPTCHA: "系统监测到您的网络环境存在异常，为保证您的正常访问，请点击下方验证按钮进行验证。",
    Kind.RISK: "您当前请求存在异常，暂时限制本次访问。如有疑问，您可以通过手机摇一摇联系我们。",
    Kind.REFUSE: "文章内容涉及违反社区规范，请修改后重试",
}


@dataclass
class Article:
    """A draft, and the article that it becomes under the same id. Times by Zhihu's clock."""

    id: str
    account: str
    title: str
    created: int
    content: str = ""
    cover: str = ""
    topics: list[dict[str, Any]] = field(default_factory=list)
    state: str = "draft"
    published: int = 0


@dataclass
class Code:
    """A QR code that was drawn: `states` are what is told one after the other, the last for good."""

    token: str
    account: str
    states: list[int]


class ZhihuServer(PlatformServer):
    """The server. `strict` wants `x-xsrftoken` to be the `_xsrf` cookie, as Zhihu's own pages send it."""

    hosts = (WWW, ZHUANLAN, API, STORE)

    def __init__(self, port: int = 0, journal: Path | None = None, *, strict: bool = True) -> None:
        super().__init__(port, journal)
        self.strict = strict
        self.open_members = False
        self.renew_session = ""
        self.result_text = ""
        self.scans: list[int] = [0, 1, 2]
        self.sessions: dict[str, str] = {}
        self.drafts: dict[str, Article] = {}
        self.pictures: dict[str, bytes] = {}
        self.codes: dict[str, Code] = {}
        self._made = 0
        self._saves = 0
        self._looked_at: set[str] = set()

    def add_account(self, name: str, **given: str) -> None:
        """An account whose `z_c0` is `secret`; the former one, if any, is no longer good."""
        with self.lock:
            self.sessions = {value: one for value, one in self.sessions.items() if one != name}
            self.sessions[given["secret"]] = name

    def recognise(self, call: Call) -> tuple[str, str]:
        """By method, host and path; who asks, by the session cookie."""
        account = self.sessions.get(call.cookies.get("z_c0", ""), "")
        for method, host, path, name in ROUTES:
            if (method, host) == (call.method, call.host) and re.fullmatch(path, call.path):
                return name, account
        return "", account

    def refusal(self, fault: Fault) -> Reply:
        """The table of wire 2.6."""
        said = fault.text or WORDS.get(fault.kind, "")
        unhuman = "https://www.zhihu.com/account/unhuman?type=S6E3V1"
        replies = {
            Kind.EXPIRE: _error(401, 100, "ERR_TICKET_NOT_EXIST", name="AuthenticationInvalidRequest"),
            Kind.RATE_LIMIT: Reply(429, {}, [("Retry-After", f"{fault.seconds:.0f}")] * (fault.seconds > 0)),
            Kind.CAPTCHA: _error(403, 40352, said, need_login=True, redirect=unhuman),
            Kind.RISK: _error(403, 40362, said),
            Kind.HIDE: _error(403, 10003, "请求参数异常，请升级客户端后重试。"),
            Kind.REFUSE: Reply(200, {"code": 403, "message": said, "toast_message": said, "data": None}),
        }
        return replies.get(fault.kind) or Reply(
            502, "<html>Bad Gateway</html>", [("Content-Type", "text/html")]
        )

    def serve(self, name: str, account: str, call: Call) -> Reply:
        """What Zhihu answers; who asks must be logged in, and say how."""
        if name not in OPEN and not account:
            return self.refusal(Fault(Kind.EXPIRE))
        if name in WRITING and (refused := self._distrust(call)):
            return refused
        if not name:
            return _error(404, 404, "资源不存在")
        reply: Reply = getattr(self, f"_{name}")(account, call)
        if self.renew_session and name == "check":
            reply.headers.append(("Set-Cookie", "BEC=1; Path=/; Domain=zhihu.com"))
            reply.headers.append(
                (
                    "Set-Cookie",
                    f"z_c0={self.renew_session}; Domain=zhihu.com; Path=/; Max-Age=2592000; HttpOnly",
                )
            )
        return reply

    def _distrust(self, call: Call) -> Reply | None:
        if call.headers.get("x-requested-with") != "fetch":
            return _error(403, 403, "x-requested-with is missing")
        token = call.headers.get("x-xsrftoken", "")
        if self.strict and (not token or token != unquote(call.cookies.get("_xsrf", ""))):
            return _error(403, 403, "x-xsrftoken is not the _xsrf cookie")
        return None

    def _check(self, account: str, call: Call) -> Reply:
        return Reply(200, self._author(account))

    def _author(self, account: str) -> dict[str, Any]:
        number = hashlib.md5(account.encode(), usedforsecurity=False).hexdigest()
        return {
            "id": number,
            "uid": str(int(number[:12], 16)),
            "url_token": f"{account}-1",
            "name": account,
            "avatar_url": "https://pic1.zhimg.com/v2-abed.jpg",
            "type": "people",
        }

    def _draft(self, account: str, call: Call) -> Reply:
        given = call.json
        self._made += 1
        article = Article(str(FIRST_ID + self._made), account, str(given.get("title", "")), int(self.now()))
        article.content = str(given.get("content") or "")
        self.drafts[article.id] = article
        return Reply(200, self._shown(article) | {"type": "article_draft"})

    def _shown(self, article: Article) -> dict[str, Any]:
        return {
            "id": article.id,
            "url": f"https://zhuanlan.zhihu.com/p/{article.id}",
            "type": "article",
            "state": article.state,
            "article_type": "normal",
            "title": article.title,
            "content": article.content,
            "created": article.published or article.created,
            "updated": int(self.now()),
            "author": self._author(article.account),
            "comment_permission": "all",
            "topics": article.topics,
            "title_image": article.cover,
            "has_publishing_draft": False,
            "reviewers": [],
        }

    def _own(self, account: str, call: Call) -> Article | None:
        found = re.search(r"/articles/(\d+)/", call.path)
        article = self.drafts.get(found.group(1)) if found else None
        return article if article and article.account == account else None

    def _save(self, account: str, call: Call) -> Reply:
        article = self._own(account, call)
        if article is None:
            return _error(404, 404, "资源不存在")
        given = call.json
        article.title = str(given.get("title", article.title))
        article.content = str(given.get("content", article.content))
        article.cover = str(given.get("titleImage", article.cover))
        # All three are seen in the wild.
        self._saves += 1
        return (Reply(200, self._shown(article)), Reply(200, b""), Reply(204))[self._saves % 3]

    def _read(self, account: str, call: Call) -> Reply:
        article = self._own(account, call)
        return Reply(200, self._shown(article)) if article else _error(404, 404, "资源不存在")

    def _drop(self, account: str, call: Call) -> Reply:
        article = self._own(account, call)
        if article is None:
            return _error(404, 404, "资源不存在")
        del self.drafts[article.id]
        return Reply(200, {"success": True})

    def _topics(self, account: str, call: Call) -> Reply:
        wanted = call.query.get("token", "")
        if wanted.startswith("no such"):
            return Reply(200, [])
        return Reply(200, [_topic(f"{wanted}（电影）"), _topic(wanted)])

    def _topic(self, account: str, call: Call) -> Reply:
        article = self._own(account, call)
        if article is None:
            return _error(404, 404, "资源不存在")
        topic = call.json
        if not any(one["id"] == topic.get("id") for one in article.topics):
            if len(article.topics) >= 3:
                return _error(400, 400, "最多添加三个话题")
            article.topics.append(topic)
        return Reply(200, article.topics)

    def _image_url(self, account: str, call: Call) -> Reply:
        url = call.form.get("url", "")
        key = f"v2-{hashlib.md5(url.encode(), usedforsecurity=False).hexdigest()}"
        self.pictures[key] = url.encode()
        return Reply(200, {"src": f"https://pic1.zhimg.com/{key}", "hash": key})

    def _image(self, account: str, call: Call) -> Reply:
        key = f"v2-{call.json['image_hash']}"
        there = key in self.pictures
        return Reply(
            200,
            {
                "upload_file": {"state": 1 if there else 2, "image_id": f"i-{key}", "object_key": key},
                "upload_token": {
                    "access_id": "STS.id",
                    "access_key": KEY_OF_STORE,
                    "access_token": "a security token",
                    "access_timestamp": int(self.now()),
                },
            },
        )

    def _store(self, account: str, call: Call) -> Reply:
        key = call.path.lstrip("/")
        passed, kind = call.headers.get("x-oss-security-token", ""), call.headers.get("content-type", "")
        text = (
            f"PUT\n\n{kind}\n{call.headers.get('date', '')}\nx-oss-security-token:{passed}\n/zhihu-pics/{key}"
        )
        mac = hmac.new(KEY_OF_STORE.encode(), text.encode(), hashlib.sha1).digest()
        if call.headers.get("authorization") != f"OSS STS.id:{base64.b64encode(mac).decode()}":
            return Reply(403, "<Error><Code>SignatureDoesNotMatch</Code></Error>")
        if key != f"v2-{hashlib.md5(call.body, usedforsecurity=False).hexdigest()}":
            return Reply(400, "<Error><Code>InvalidDigest</Code></Error>")
        self.pictures[key] = call.body
        return Reply(200)

    def _image_state(self, account: str, call: Call) -> Reply:
        key = call.path.rpartition("/i-")[2]
        if key not in self.pictures:
            return _error(404, 404, "资源不存在")
        if key not in self._looked_at:
            self._looked_at.add(key)
            return Reply(200, {"status": "processing"})
        return Reply(200, {"status": "success", "original_hash": key, "watermark": "original"})

    def _publish(self, account: str, call: Call) -> Reply:
        wanted = call.json.get("data", {}).get("draft", {}).get("id")
        article = self.drafts.get(str(wanted))
        if article is None or article.account != account:
            return Reply(
                200, {"code": 404, "message": "draft not found", "toast_message": "草稿不存在", "data": None}
            )
        again = article.state == "published"
        article.state, article.published = "published", article.published or int(self.now())
        self.note(account, article.id, article.title, again=again)
        result = {
            "publish": self._shown(article) | {"status": 0, "is_normal": True, "reason": ""},
            "pc_business_params": call.json["data"]["extra_info"]["pc_business_params"],
        }
        text = self.result_text or json.dumps(result, ensure_ascii=False)
        data = {"publish_type": "article", "result": text}
        return Reply(200, {"code": 0, "message": "success", "toast_message": "", "data": data})

    def _published_by(self, account: str) -> list[Article]:
        own = [one for one in self.drafts.values() if one.account == account and one.state == "published"]
        return sorted(own, key=lambda one: (one.published, one.id), reverse=True)

    def _page_of(self, account: str, call: Call) -> tuple[list[Article], dict[str, Any]]:
        own, offset = self._published_by(account), int(call.query.get("offset", 0))
        limit = int(call.query.get("limit", 20))
        return own[offset : offset + limit], {"totals": len(own), "is_end": offset + limit >= len(own)}

    def _list(self, account: str, call: Call) -> Reply:
        rows, paging = self._page_of(account, call)
        data = [
            {
                "type": "article",
                "data": {
                    "id": one.id,
                    "url_token": one.id,
                    "title": one.title,
                    "created_time": one.published,
                },
                "reaction": {"vote_up_count": 0},
            }
            for one in rows
        ]
        return Reply(200, {"paging": paging, "data": data})

    def _members(self, account: str, call: Call) -> Reply:
        if not self.open_members:
            return self.refusal(Fault(Kind.HIDE))
        rows, paging = self._page_of(account, call)
        data = [
            {
                "id": one.id,
                "title": one.title,
                "url": f"https://zhuanlan.zhihu.com/p/{one.id}",
                "created": one.published,
                "updated": one.published,
            }
            for one in rows
        ]
        return Reply(200, {"paging": paging, "data": data})

    def _page(self, account: str, call: Call) -> Reply:
        html = [("Content-Type", "text/html; charset=utf-8")]
        article = self.drafts.get(call.path.rpartition("/")[2])
        if article is None or article.state != "published":
            return Reply(404, SOFT_404, html)
        told = {
            "id": int(article.id),
            "state": "published",
            "status": 0,
            "isVisible": True,
            "isNormal": True,
            "created": article.published,
            "title": article.title,
            "author": {"id": self._author(article.account)["id"]},
        }
        data = {"initialState": {"entities": {"articles": {article.id: told}}}}
        text = json.dumps(data, ensure_ascii=False).replace("<", "\\u003C")
        return Reply(
            200,
            f'<title>{article.title}</title><script id="js-initialData" type="text/json">{text}</script>',
            html,
        )

    def _udid(self, account: str, call: Call) -> Reply:
        return Reply(
            200,
            "ok",
            [
                ("Set-Cookie", "d_c0=device; Domain=zhihu.com; Path=/"),
                ("Set-Cookie", "_xsrf=fresh%7Ctoken; Path=/; Domain=zhihu.com"),
            ],
        )

    def _code(self, account: str, call: Call) -> Reply:
        if "d_c0" not in call.cookies:
            return _error(403, 403, "no device")
        token = f"code-{len(self.codes) + 1}"
        self.codes[token] = Code(token, "", list(self.scans))
        link = f"https://www.zhihu.com/account/scan/login/{token}?/api/login/qrcode"
        return Reply(200, {"token": token, "link": link, "expires_at": int(self.now()) + 120})

    def _scan(self, account: str, call: Call) -> Reply:
        code = self.codes[call.path.split("/")[-2]]
        state = code.states.pop(0) if len(code.states) > 1 else code.states[0]
        if state == 4:
            # Whoever draws another one is luckier.
            self.scans = [0, 1, 2]
        return Reply(200, {"status": state})

    def _login(self, account: str, call: Call) -> Reply:
        name = next(iter(self.sessions.values()), "somebody")
        session = f"session-of-{quote(name)}-{len(self.codes)}"
        self.add_account(name, secret=session)
        cookie = f"z_c0={session}; Domain=zhihu.com; Path=/; Max-Age=2592000; HttpOnly"
        return Reply(200, {"user_id": 1, "uid": 1}, [("Set-Cookie", cookie)])


def _topic(name: str) -> dict[str, Any]:
    number = int(hashlib.md5(name.encode(), usedforsecurity=False).hexdigest()[:8], 16)
    return {"id": str(number), "name": name, "type": "topic", "url": f"https://www.zhihu.com/topic/{number}"}


def _error(status: int, code: int, message: str, **more: Any) -> Reply:
    return Reply(status, {"error": {"code": code, "message": message, **more}})


if __name__ == "__main__":
    serve_forever(ZhihuServer, __doc__ or "")
