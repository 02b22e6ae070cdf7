"""A blog on loopback that speaks MetaWeblog over XML-RPC (wire 3.5), as WordPress does, or as Typecho with `typecho = True`.

    python -m tests.standins.metaweblog --port 9000 --journal published.jsonl --account alice=password

Calls have names for faults: check, draft, save, read, publish, list, media.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from xmlrpc.client import Fault as XmlFault
from xmlrpc.client import dumps, loads

from tests.standins.platform import Call, Fault, Kind, PlatformServer, Reply, serve_forever

HOST = "journal.example.com"
NAMES = {
    "blogger.getUsersBlogs": "check",
    "metaWeblog.newPost": "draft",
    "metaWeblog.getPost": "read",
    "metaWeblog.getRecentPosts": "list",
    "metaWeblog.newMediaObject": "media",
}
XML = [("Content-Type", "text/xml; charset=UTF-8")]


@dataclass
class Post:
    """One post. `date` is the blog's clock when it became public."""

    id: str
    account: str
    struct: dict[str, Any] = field(default_factory=dict)
    status: str = "draft"
    date: float = 0.0


class MetaWeblogServer(PlatformServer):
    """The server. `typecho`: a new post's id is not told, and an edit without a description empties the post.

    `local_times`: lists tell no GMT.
    """

    hosts = (HOST,)

    def __init__(self, port: int = 0, journal: Path | None = None) -> None:
        super().__init__(port, journal)
        self.typecho = False
        self.local_times = False
        self.raw_answer = b""
        self.passwords: dict[str, str] = {}
        self.posts: dict[str, Post] = {}
        self.files: dict[str, bytes] = {}
        self._next = 100

    def add_account(self, name: str, **given: str) -> None:
        """A user with this password."""
        with self.lock:
            self.passwords[name] = given["secret"]

    def _read_call(self, call: Call) -> tuple[str, tuple[Any, ...]]:
        try:
            params, method = loads(call.body, use_builtin_types=True)
        except Exception:  # noqa: BLE001 - whatever is no call
            return "", ()
        return method or "", params

    def recognise(self, call: Call) -> tuple[str, str]:
        """By the method's name; who asks, by user name and password."""
        method, params = self._read_call(call)
        texts = [one for one in params[:3] if isinstance(one, str)]
        account = texts[1] if len(texts) == 3 and self.passwords.get(texts[1]) == texts[2] else ""
        if method == "metaWeblog.editPost":
            return ("publish" if params[-1] else "save"), account
        return NAMES.get(method, ""), account

    def refusal(self, fault: Fault) -> Reply:
        """Faults come with HTTP 200; what stands before the blog has statuses."""
        waits = [("Retry-After", f"{fault.seconds:.0f}")] * (fault.seconds > 0)
        if fault.kind is Kind.RATE_LIMIT:
            return Reply(429, "<html>Too Many Requests</html>", waits)
        if fault.kind is Kind.FAIL:
            return Reply(502, "<html>Bad Gateway</html>")
        known = {
            Kind.EXPIRE: (403, "Incorrect username or password."),
            Kind.HIDE: (401, "Sorry, you are not allowed to edit this post."),
            Kind.REFUSE: (401, fault.text or "Sorry, you are not allowed to publish posts on this site."),
        }
        number, text = known.get(fault.kind, (500, fault.text or "Sorry, something went wrong."))
        return _fault(number, text)

    def serve(self, name: str, account: str, call: Call) -> Reply:
        """What it answers to whoever knows the password."""
        if not call.path.endswith("/xmlrpc.php") and not call.path.endswith("/action/xmlrpc"):
            return Reply(404, "<html>Not Found</html>")
        if self.raw_answer:
            return Reply(200, self.raw_answer, XML)
        if not name:
            return _fault(-32601, "server error. requested method does not exist.")
        if not account:
            return _fault(403, "Incorrect username or password.")
        _, params = self._read_call(call)
        reply: Reply = getattr(self, f"_{name}")(account, params)
        return reply

    def _check(self, account: str, params: tuple[Any, ...]) -> Reply:
        return _value([{"blogid": "1", "blogName": f"{account}'s journal", "url": f"https://{HOST}/"}])

    def _draft(self, account: str, params: tuple[Any, ...]) -> Reply:
        self._next += 1
        post = Post(str(self._next), account, dict(params[3]))
        self.posts[post.id] = post
        return _value(0 if self.typecho else post.id)

    def _change(self, post: Post, struct: dict[str, Any]) -> None:
        post.struct = dict(struct) if self.typecho else post.struct | struct

    def _save(self, account: str, params: tuple[Any, ...]) -> Reply:
        post = self.posts.get(params[0])
        if post is None:
            return _fault(404, "Invalid post ID.")
        self._change(post, params[3])
        return _value(True)

    def _publish(self, account: str, params: tuple[Any, ...]) -> Reply:
        post = self.posts.get(params[0])
        if post is None:
            return _fault(404, "Invalid post ID.")
        self._change(post, params[3])
        again = post.status == "publish"
        post.status, post.date = "publish", post.date or self.now()
        self.note(account, post.id, str(post.struct.get("title")), again=again)
        return _value(True)

    def _shown(self, post: Post) -> dict[str, Any]:
        moment = datetime.fromtimestamp(post.date or self.now(), UTC).replace(tzinfo=None, microsecond=0)
        link = f"https://{HOST}/?p={post.id}" if post.status == "draft" else f"https://{HOST}/{post.id}.html"
        shown = {
            "postid": post.id,
            "title": post.struct.get("title", ""),
            "description": post.struct.get("description", ""),
            "link": link,
            "permaLink": link,
            "dateCreated": moment + timedelta(hours=8),
            "post_status": post.status,
        }
        return shown if self.local_times else shown | {"date_created_gmt": moment}

    def _read(self, account: str, params: tuple[Any, ...]) -> Reply:
        post = self.posts.get(params[0])
        return _value(self._shown(post)) if post else _fault(404, "Invalid post ID.")

    def _list(self, account: str, params: tuple[Any, ...]) -> Reply:
        newest = sorted(self.posts.values(), key=lambda one: int(one.id), reverse=True)[: params[3]]
        return _value([self._shown(one) for one in newest])

    def _media(self, account: str, params: tuple[Any, ...]) -> Reply:
        file = params[3]
        self.files[file["name"]] = file["bits"]
        return _value({"id": "7", "file": file["name"], "url": f"https://{HOST}/uploads/{file['name']}"})


def _value(value: Any) -> Reply:
    return Reply(200, dumps((value,), methodresponse=True), list(XML))


def _fault(number: int, text: str) -> Reply:
    return Reply(200, dumps(XmlFault(number, text)), list(XML))


if __name__ == "__main__":
    serve_forever(MetaWeblogServer, __doc__ or "")
