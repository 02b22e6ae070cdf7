"""WordPress's own ways, against its stand-in: media, terms, permalinks, roles, passwords."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import pytest

from backend.domain.publishing import Credentials, Health, Presence
from backend.publishers.wordpress.publisher import WordPressPublisher
from backend.publishers.wordpress.wire import home_of
from tests.desks import EMBEDDED, PNG, Desktop, failure
from tests.standins.platform import Kind
from tests.standins.wordpress import HOST, WordPressServer

# As WordPress shows it: in groups.
PASSWORD = "abcd EFGH 1234 ijkl MNOP 5678"
WordPress = Desktop[WordPressServer]


def credentials(url: str = f"https://{HOST}", **more: str) -> Credentials:
    """The account's."""
    return Credentials(fields={"url": url, "username": "alice", "password": PASSWORD, **more})


@pytest.fixture
def blog() -> Iterator[WordPress]:
    """A publisher, and the stand-in with one user."""
    with WordPressServer() as server:
        server.add_account("alice", secret=PASSWORD.replace(" ", ""))
        yield Desktop(server, WordPressPublisher(), credentials())


def test_tags_and_categories_are_found_by_name_or_made(blog: WordPress) -> None:
    blog.server.terms["tags"] = {3: "Python & Co"}
    order = dataclasses.replace(
        blog.order(tags=("python & co", "New", "new")), credentials=credentials(category="News")
    )
    post = blog.server.posts[int(blog.prepare(order).draft_id)]
    terms = blog.server.terms
    assert [terms["tags"][key] for key in post.tags] == ["Python & Co", "New"]
    assert [terms["categories"][key] for key in post.categories] == ["News"]


def test_a_tag_that_the_search_does_not_show_is_used_all_the_same(blog: WordPress) -> None:
    blog.server.terms["tags"] = {3: "Hidden"}
    blog.server.hidden_terms = {"Hidden"}
    post = blog.server.posts[int(blog.prepare(blog.order(tags=("Hidden",))).draft_id)]
    assert post.tags == [3]


def test_embedded_pictures_and_the_cover_go_to_the_library_once(blog: WordPress) -> None:
    cover = blog.server.keep_file("cover.png", PNG + b"cover")
    order = blog.order(f"![a]({EMBEDDED})\n\n![far](https://example.com/x.png)", cover=cover)
    prepared = blog.prepare(order)
    post = blog.server.posts[int(prepared.draft_id)]
    assert "data:" not in post.content
    assert f"https://{HOST}/wp-content/uploads/cascade-" in post.content
    assert "https://example.com/x.png" in post.content
    assert post.featured_media in {one["id"] for one in blog.server.library}
    blog.prepare(dataclasses.replace(order, draft_id=prepared.draft_id))
    assert len(blog.server.library) == 2


def test_code_and_formulas_are_written_as_wordpress_shows_them(blog: WordPress) -> None:
    prepared = blog.prepare(blog.order("```python\nx\n```\n\n$a<b$\n"))
    content = blog.server.posts[int(prepared.draft_id)].content
    assert '<pre class="wp-block-code"><code class="language-python">' in content
    assert "\\(a&lt;b\\)" in content
    assert any("KaTeX" in one for one in prepared.warnings)


@pytest.mark.parametrize("status", [200, 404])
def test_a_site_without_pretty_permalinks_is_reached_the_other_way(blog: WordPress, status: int) -> None:
    blog.server.pretty, blog.server.page_status = False, status
    order, prepared = blog.submit(blog.order())
    published = blog.publish(order, prepared)
    assert published.url == f"https://{HOST}/{prepared.draft_id}/"
    assert blog.find(order).presence is Presence.THERE


def test_who_may_not_publish_hears_that_the_editor_decides(blog: WordPress) -> None:
    blog.server.contributors = {"alice"}
    order, prepared = blog.submit(blog.order())
    assert "editor" in blog.publish(order, prepared).note
    assert blog.find(order).presence is Presence.THERE


def test_a_revoked_password_expires_the_account(blog: WordPress) -> None:
    assert (blog.check().health, blog.check().profile) == (Health.OK, "Alice")
    blog.server.add_account("alice", secret="another")
    verdict = blog.check()
    assert (verdict.health, verdict.code) == (Health.EXPIRED, "session_expired")
    assert "abcd" not in verdict.reason


def test_a_draft_that_is_gone_is_replaced_only_while_nothing_was_submitted(blog: WordPress) -> None:
    order, first = blog.submit(blog.order())
    del blog.server.posts[int(first.draft_id)]
    assert failure(lambda: blog.prepare(order)).code == "draft_gone"
    assert blog.find(order).presence is Presence.UNKNOWN
    again = blog.prepare(dataclasses.replace(order, submitted_at=None))
    assert again.draft_id != first.draft_id
    assert any(first.draft_id in one for one in again.warnings)


def test_a_site_that_is_elsewhere_names_the_address(blog: WordPress) -> None:
    blog.server.moved_to = "https://www.blog.example.com/wp-json/wp/v2/users/me?x=y"
    error = failure(blog.check)
    assert (error.code, error.permanent) == ("platform_moved", True)
    assert "https://www.blog.example.com/wp-json/wp/v2/users/me" in str(error)
    assert "x=y" not in str(error)


def test_a_check_that_the_site_refuses_keeps_its_words(blog: WordPress) -> None:
    blog.server.tell(Kind.REFUSE, call="check", text="REST is off here")
    error = failure(blog.check)
    assert error.code == "rejected"
    assert "REST is off here" in error.detail


@pytest.mark.parametrize(
    "entered",
    [
        "https://e.com/blog",
        "https://e.com/blog/",
        "https://e.com/blog/wp-admin/index.php?x=1",
        "https://e.com/blog/wp-json",
        " https://e.com/blog/xmlrpc.php ",
        "https://e.com/blog/#top",
    ],
)
def test_the_site_is_found_from_whatever_page_was_entered(entered: str) -> None:
    assert home_of(entered) == "https://e.com/blog"
