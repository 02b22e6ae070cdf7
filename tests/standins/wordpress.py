"""WordPress's REST interface on loopback (wire 3.4): posts, media, terms, application passwords.

    python -m tests.standins.wordpress --port 9000 --journal published.jsonl --account alice=application-password

Calls have names for faults: check, draft, save, read, publish, list, media, media_list, tags, categories. `pretty = False` knows the
interface as `/?rest_route=` only.
"""

from __future__ import annotations

import base64
import html
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from tests.standins.platform import Call, Fault, Kind, PlatformServer, Reply, serve_forever

HOST = "blog.example.com"
ROUTES = (
    ("GET", r"/users/me", "check"),
    ("POST", r"/posts", "draft"),
    ("POST", r"/posts/(\d+)", "save"),
    ("GET", r"/posts/(\d+)", "read"),
    ("GET", r"/posts", "list"),
    ("POST", r"/media", "media"),
    ("GET", r"/media", "media_list"),
    ("GET", r"/(tags|categories)", "terms"),
    ("POST", r"/(tags|categories)", "new_term"),
)


@dataclass
class Post:
    """One post. `date` is the site's clock when it became public."""

    id: int
    account: str
    title: str
    content: str = ""
    status: str = "draft"
    date: float = 0.0
    tags: list[int] = field(default_factory=list)
    categories: list[int] = field(default_factory=list)
    featured_media: int = 0


class WordPressServer(PlatformServer):
    """The server. `contributors` may not publish: their posts become pending."""

    hosts = (HOST,)

    def __init__(self, port: int = 0, journal: Path | None = None) -> None:
        super().__init__(port, journal)
        self.pretty = True
        self.moved_to = ""
        self.page_status = 200
        self.contributors: set[str] = set()
        self.passwords: dict[str, str] = {}
        self.posts: dict[int, Post] = {}
        self.library: list[dict[str, Any]] = []
        self.terms: dict[str, dict[int, str]] = {"tags": {}, "categories": {1: "Uncategorized"}}
        self.hidden_terms: set[str] = set()
        self._next = 10

    def add_account(self, name: str, **given: str) -> None:
        """A user with an application password; the former one is revoked."""
        with self.lock:
            self.passwords[name] = given["secret"]

    def recognise(self, call: Call) -> tuple[str, str]:
        """By method and route; who asks, by the Basic pair."""
        route = self._route(call)
        name = next(
            (n for method, path, n in ROUTES if method == call.method and re.fullmatch(path, route)), ""
        )
        if name == "save" and call.json.get("status") == "publish":
            name = "publish"
        return name, self._account(call)

    def _route(self, call: Call) -> str:
        if self.pretty and call.path.startswith("/wp-json/wp/v2"):
            return call.path.removeprefix("/wp-json/wp/v2")
        return call.query.get("rest_route", "").removeprefix("/wp/v2")

    def _account(self, call: Call) -> str:
        scheme, _, told = call.headers.get("authorization", "").partition(" ")
        pair = base64.b64decode(told).decode() if scheme == "Basic" else ""
        name, _, password = pair.partition(":")
        return name if name and self.passwords.get(name) == password.replace(" ", "") else ""

    def refusal(self, fault: Fault) -> Reply:
        """As WordPress words it."""
        waits = [("Retry-After", f"{fault.seconds:.0f}")] * (fault.seconds > 0)
        if fault.kind is Kind.EXPIRE:
            return _error(
                401, "incorrect_password", "The provided password is an invalid application password."
            )
        if fault.kind is Kind.RATE_LIMIT:
            return Reply(429, "<html>Too Many Requests</html>", waits)
        if fault.kind is Kind.HIDE:
            return _error(403, "rest_forbidden_context", "Sorry, you are not allowed to edit this post.")
        if fault.kind is Kind.REFUSE:
            return _error(400, "rest_invalid_param", fault.text or "Invalid parameter(s): content")
        return Reply(500, "<html>There has been a critical error on this website.</html>")

    def serve(self, name: str, account: str, call: Call) -> Reply:
        """What it answers to whoever is logged in."""
        route = self._route(call)
        if self.moved_to:
            return Reply(301, b"", [("Location", self.moved_to)])
        if not route:
            return self._page(call)
        if not name:
            return _error(404, "rest_no_route", "No route was found matching the URL and request method.")
        if not account:
            return _error(
                401, "incorrect_password", "The provided password is an invalid application password."
            )
        reply: Reply = getattr(self, f"_{name}")(account, call, route)
        return reply

    def _page(self, call: Call) -> Reply:
        # Without permalinks the blog's pages answer: to a GET with a redirect to the same address and a slash, as the real one does.
        html = [("Content-Type", "text/html; charset=UTF-8")]
        if call.method == "GET":
            return Reply(
                301, b"", [*html, ("Location", f"https://{HOST}{call.path}/?{urlencode(call.query)}")]
            )
        return Reply(self.page_status, "<html>A page of the blog</html>", html)

    def _check(self, account: str, call: Call, route: str) -> Reply:
        return Reply(
            200,
            {
                "id": self._user(account),
                "name": account.title(),
                "slug": account,
                "capabilities": {"edit_posts": True},
            },
        )

    def _user(self, account: str) -> int:
        return sorted(self.passwords).index(account) + 1

    def _draft(self, account: str, call: Call, route: str) -> Reply:
        self._next += 1
        post = Post(self._next, account, "")
        self.posts[post.id] = post
        self._change(post, call.json)
        return Reply(201, self._shown(post))

    def _change(self, post: Post, given: dict[str, Any]) -> None:
        for name in ("title", "content", "tags", "categories", "featured_media"):
            if name in given:
                setattr(post, name, given[name])

    def _save(self, account: str, call: Call, route: str) -> Reply:
        post = self.posts.get(int(route.rpartition("/")[2]))
        if post is None:
            return _error(404, "rest_post_invalid_id", "Invalid post ID.")
        self._change(post, call.json)
        return Reply(200, self._shown(post))

    def _publish(self, account: str, call: Call, route: str) -> Reply:
        post = self.posts.get(int(route.rpartition("/")[2]))
        if post is None:
            return _error(404, "rest_post_invalid_id", "Invalid post ID.")
        again = post.status in {"publish", "pending"}
        post.status = "pending" if account in self.contributors else "publish"
        post.date = post.date or self.now()
        self.note(account, str(post.id), post.title, again=again)
        return Reply(200, self._shown(post))

    def _read(self, account: str, call: Call, route: str) -> Reply:
        post = self.posts.get(int(route.rpartition("/")[2]))
        return (
            Reply(200, self._shown(post)) if post else _error(404, "rest_post_invalid_id", "Invalid post ID.")
        )

    def _shown(self, post: Post) -> dict[str, Any]:
        moment = datetime.fromtimestamp(post.date or self.now(), UTC).strftime("%Y-%m-%dT%H:%M:%S")
        return {
            "id": post.id,
            "date_gmt": moment,
            "link": f"https://{HOST}/?p={post.id}"
            if post.status == "draft"
            else f"https://{HOST}/{post.id}/",
            "status": post.status,
            "title": {"raw": post.title, "rendered": post.title.replace("&", "&#038;")},
            "content": {"raw": post.content},
            "author": self._user(post.account),
        }

    def _list(self, account: str, call: Call, route: str) -> Reply:
        wanted = call.query.get("status", "publish").split(",")
        own = [
            one
            for one in self.posts.values()
            if one.status in wanted and str(self._user(one.account)) == call.query.get("author")
        ]
        own.sort(key=lambda one: (one.date, one.id), reverse=True)
        return Reply(200, [self._shown(one) for one in own[: int(call.query.get("per_page", 10))]])

    def _media_list(self, account: str, call: Call, route: str) -> Reply:
        return Reply(200, [one for one in self.library if one["slug"] == call.query.get("slug")])

    def _media(self, account: str, call: Call, route: str) -> Reply:
        found = re.search(r'filename="([^"]+)"', call.headers.get("content-disposition", ""))
        if not found or not call.body or not call.headers.get("content-type", "").startswith("image/"):
            return _error(400, "rest_upload_no_content_disposition", "No Content-Disposition supplied.")
        self._next += 1
        name = found.group(1)
        one = {
            "id": self._next,
            "slug": name.partition(".")[0],
            "source_url": f"https://{HOST}/wp-content/uploads/{name}",
        }
        self.library.append(one)
        return Reply(201, one)

    def _terms(self, account: str, call: Call, route: str) -> Reply:
        wanted = call.query.get("search", "").casefold()
        found = self.terms[route.lstrip("/")].items()
        shown = [
            (key, name) for key, name in found if wanted in name.casefold() and name not in self.hidden_terms
        ]
        return Reply(200, [{"id": key, "name": html.escape(name)} for key, name in shown])

    def _new_term(self, account: str, call: Call, route: str) -> Reply:
        terms, name = self.terms[route.lstrip("/")], call.json["name"]
        for key, known in terms.items():
            if known == name:
                return Reply(
                    400,
                    {
                        "code": "term_exists",
                        "message": "A term with the name provided already exists.",
                        "data": {"status": 400, "term_id": key},
                    },
                )
        self._next += 1
        terms[self._next] = name
        return Reply(201, {"id": self._next, "name": name})


def _error(status: int, code: str, message: str) -> Reply:
    return Reply(status, {"code": code, "message": message, "data": {"status": status}})


if __name__ == "__main__":
    serve_forever(WordPressServer, __doc__ or "")
