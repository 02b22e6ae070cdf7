"""Juejin on loopback (wire 3.2): drafts with category and tags, publishing into review, lists; refusals with HTTP 200.

    python -m tests.standins.juejin --port 9000 --journal published.jsonl --account alice=the-sessionid

Calls have names for faults: check, token, categories, tags, draft, save, read, publish, list. An account is known by its `sessionid`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.standins.platform import Call, Fault, Kind, PlatformServer, Reply, serve_forever

HOST = "api.juejin.cn"
NAMES = {
    "/user_api/v1/sys/token": "token",
    "/user_api/v1/user/get": "check",
    "/tag_api/v1/query_category_list": "categories",
    "/tag_api/v1/query_tag_list": "tags",
    "/content_api/v1/article_draft/create": "draft",
    "/content_api/v1/article_draft/update": "save",
    "/content_api/v1/article_draft/detail": "read",
    "/content_api/v1/article/publish": "publish",
    "/content_api/v1/article/list_by_user": "list",
}
CATEGORIES = {"后端": "6809637769959178254", "前端": "6809637767543259144", "人工智能": "6809637773935378440"}
TAGS = {"Python": "6809640448827588622", "Redis": "6809640385980137480", "Docker": "6809640402103042061"}
FIRST_ID = 7_589_000_000_000_000_000
TOKEN = "0001000000012c57f3417f4e90df870a"


@dataclass
class Draft:
    """A draft, and the article that it became under another id."""

    id: str
    account: str
    content: dict[str, Any]
    article_id: str = "0"
    created: int = 0


class JuejinServer(PlatformServer):
    """The server; writing needs the token against forgery."""

    hosts = (HOST,)

    def __init__(self, port: int = 0, journal: Path | None = None) -> None:
        super().__init__(port, journal)
        self.sessions: dict[str, str] = {}
        self.drafts: dict[str, Draft] = {}
        self.numbers = FIRST_ID

    def add_account(self, name: str, **given: str) -> None:
        """An account whose `sessionid` is `secret`."""
        with self.lock:
            self.sessions = {value: one for value, one in self.sessions.items() if one != name}
            self.sessions[given["secret"]] = name

    def recognise(self, call: Call) -> tuple[str, str]:
        """By path and session."""
        return NAMES.get(call.path, ""), self.sessions.get(call.cookies.get("sessionid", ""), "")

    def refusal(self, fault: Fault) -> Reply:
        """Nearly everything comes with HTTP 200."""
        waits = [("Retry-After", f"{fault.seconds:.0f}")] * (fault.seconds > 0)
        replies = {
            Kind.EXPIRE: _refused(403, "must login"),
            Kind.RATE_LIMIT: Reply(429, {"err_no": 429, "err_msg": "too many requests"}, waits),
            Kind.HIDE: _refused(4, "暂无权限"),
            Kind.REFUSE: _refused(2001, fault.text or "内容不符合规范"),
        }
        return replies.get(fault.kind) or Reply(502, "<html>Bad Gateway</html>")

    def serve(self, name: str, account: str, call: Call) -> Reply:
        """What Juejin answers."""
        if name == "token":
            return Reply(200, b"", [("x-ware-csrf-token", f"0,{TOKEN},86370000,success,sid")])
        if not name or call.query.get("aid") != "2608" or not call.query.get("uuid"):
            return Reply(404, "not found")
        if not account:
            return self.refusal(Fault(Kind.EXPIRE))
        if call.method == "POST" and call.headers.get("x-secsdk-csrf-token") != TOKEN:
            return _refused(1, "csrf token invalid")
        reply: Reply = getattr(self, f"_{name}")(account, call.json)
        return reply

    def _check(self, account: str, content: dict[str, Any]) -> Reply:
        number = hashlib.sha256(account.encode()).hexdigest()[:12]
        return _done({"user_id": str(int(number, 16)), "user_name": account, "avatar_large": ""})

    def _categories(self, account: str, content: dict[str, Any]) -> Reply:
        return _done(
            [
                {"category_id": number, "category": {"category_id": number, "category_name": name}}
                for name, number in CATEGORIES.items()
            ]
        )

    def _tags(self, account: str, content: dict[str, Any]) -> Reply:
        word = str(content.get("key_word") or "").casefold()
        found = {f"{word}-like": "1"} if word else {}
        found |= {name: number for name, number in TAGS.items() if word in name.casefold()}
        return _done(
            [
                {"tag_id": number, "tag": {"tag_id": number, "tag_name": name}}
                for name, number in found.items()
            ]
        )

    def _number(self) -> str:
        self.numbers += 1
        return str(self.numbers)

    def _draft(self, account: str, content: dict[str, Any]) -> Reply:
        draft = Draft(self._number(), account, content)
        self.drafts[draft.id] = draft
        return _done(_shown(draft))

    def _own(self, account: str, identifier: object) -> Draft | None:
        draft = self.drafts.get(str(identifier))
        return draft if draft and draft.account == account else None

    def _save(self, account: str, content: dict[str, Any]) -> Reply:
        draft = self._own(account, content.get("id"))
        if draft is None:
            return _refused(2, "参数错误")
        draft.content = content
        return _done(_shown(draft))

    def _read(self, account: str, content: dict[str, Any]) -> Reply:
        draft = self._own(account, content.get("draft_id"))
        return (
            _refused(2, "参数错误")
            if draft is None
            else _done({"draft_id": draft.id, "article_draft": _shown(draft)})
        )

    def _publish(self, account: str, content: dict[str, Any]) -> Reply:
        draft = self._own(account, content.get("draft_id"))
        if draft is None or not _complete(draft.content):
            return _refused(2, "参数错误")
        # What it does with a draft that is an article already is not known: here it makes another one.
        draft.article_id, draft.created = self._number(), int(self.now())
        self.note(account, draft.article_id, str(draft.content["title"]))
        return _done({"article_id": draft.article_id, "draft_id": draft.id})

    def _list(self, account: str, content: dict[str, Any]) -> Reply:
        own = [one for one in self.drafts.values() if one.account == account and one.article_id != "0"]
        newest = sorted(own, key=lambda one: one.article_id, reverse=True)
        return _done(
            [
                {
                    "article_id": one.article_id,
                    "article_info": {
                        "article_id": one.article_id,
                        "title": one.content["title"],
                        "status": 2,
                        "audit_status": 1,
                        "ctime": str(one.created),
                    },
                }
                for one in newest[: int(content.get("page_size") or 10)]
            ]
        )


def _shown(draft: Draft) -> dict[str, Any]:
    return draft.content | {"id": draft.id, "article_id": draft.article_id}


def _complete(content: dict[str, Any]) -> bool:
    brief = str(content.get("brief_content") or "")
    known = content.get("category_id") in CATEGORIES.values()
    tags = content.get("tag_ids") or []
    return (
        known
        and 1 <= len(tags) <= 3
        and set(tags) <= set(TAGS.values())
        and 50 <= len(brief) <= 100
        and bool(content.get("mark_content"))
    )


def _done(data: Any) -> Reply:
    return Reply(200, {"err_no": 0, "err_msg": "success", "data": data})


def _refused(number: int, message: str) -> Reply:
    return Reply(200, {"err_no": number, "err_msg": message, "data": None})


if __name__ == "__main__":
    serve_forever(JuejinServer, __doc__ or "")
