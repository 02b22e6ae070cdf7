"""MetaWeblog's own ways, against its stand-in: faults, Typecho, hostile XML, pictures, lists without a zone."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import pytest

from backend.domain.publishing import Credentials, Presence
from backend.publishers.metaweblog.publisher import MetaWeblogPublisher
from backend.publishers.metaweblog.wire import endpoint_of
from tests.desks import EMBEDDED, PNG, Desktop, failure
from tests.standins.metaweblog import HOST, MetaWeblogServer
from tests.standins.platform import Kind

SECRET = "s3cr3t of alice"
MetaWeblog = Desktop[MetaWeblogServer]


@pytest.fixture
def blog() -> Iterator[MetaWeblog]:
    """A publisher, and the stand-in with one user."""
    with MetaWeblogServer() as server:
        server.add_account("alice", secret=SECRET)
        fields = {
            "url": f"https://{HOST}/action/xmlrpc",
            "username": "alice",
            "password": SECRET,
            "category": "News, Tech",
        }
        yield Desktop(server, MetaWeblogPublisher(), Credentials(fields=fields))


@pytest.mark.parametrize("typecho", [False, True], ids=["WordPress", "Typecho"])
def test_the_published_post_has_everything_that_its_draft_had(blog: MetaWeblog, typecho: bool) -> None:
    blog.server.typecho = typecho
    order, prepared = blog.submit(blog.order(f"Text\x0b & <b>more</b>\n\n![x]({EMBEDDED})", tags=("a", "b")))
    published = blog.publish(order, prepared)
    assert published.url == f"https://{HOST}/{prepared.draft_id}.html"
    struct = blog.server.posts[prepared.draft_id].struct
    assert "Text &amp; <b>more</b>" in struct["description"]
    assert f"https://{HOST}/uploads/cascade-" in struct["description"]
    assert (struct["mt_keywords"], struct["categories"]) == ("a,b", ["News", "Tech"])
    assert list(blog.server.files.values()) == [PNG]


def test_a_draft_that_is_gone_is_replaced_only_while_nothing_was_submitted(blog: MetaWeblog) -> None:
    order, first = blog.submit(blog.order())
    del blog.server.posts[first.draft_id]
    assert failure(lambda: blog.prepare(order)).code == "draft_gone"
    assert blog.find(order).presence is Presence.UNKNOWN
    assert blog.prepare(dataclasses.replace(order, submitted_at=None)).draft_id != first.draft_id


def test_a_draft_in_the_list_is_no_article(blog: MetaWeblog) -> None:
    order, _ = blog.submit(blog.order())
    assert blog.find(order).presence is Presence.NOT_THERE


def test_a_time_without_a_zone_tells_no_articles_apart(blog: MetaWeblog) -> None:
    blog.server.local_times = True
    order, prepared = blog.submit(blog.order())
    blog.publish(order, prepared)
    order = dataclasses.replace(order, draft_id="")
    assert blog.find(order).presence is Presence.UNKNOWN


def test_an_address_that_can_not_be_had_does_not_undo_the_publication(blog: MetaWeblog) -> None:
    order, prepared = blog.submit(blog.order())
    blog.server.tell(Kind.FAIL, call="read")
    assert blog.publish(order, prepared).url == ""
    assert len(blog.server.journal()) == 1


@pytest.mark.parametrize(
    "answer",
    [
        b"<html>a page</html>",
        b"",
        b"<methodResponse>",
        b'<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><methodResponse><params><param><value>&b;</value></param></params></methodResponse>',
    ],
    ids=["page", "nothing", "broken", "entities"],
)
def test_an_answer_that_is_none_is_refused_and_to_publishing_it_is_ambiguous(
    blog: MetaWeblog, answer: bytes
) -> None:
    order, prepared = blog.submit(blog.order())
    blog.server.raw_answer = answer or b" "
    assert (failure(blog.check).code, failure(blog.check).ambiguous) == ("platform_changed", False)
    assert failure(lambda: blog.publish(order, prepared)).ambiguous


@pytest.mark.parametrize(
    ("entered", "endpoint"),
    [
        ("https://e.com", "https://e.com/xmlrpc.php"),
        ("https://e.com/blog/", "https://e.com/blog/xmlrpc.php"),
        ("https://e.com/index.php/action/xmlrpc", "https://e.com/index.php/action/xmlrpc"),
        ("https://e.com/rpc.php", "https://e.com/rpc.php"),
    ],
)
def test_the_endpoint_is_what_was_entered_or_the_usual_place(entered: str, endpoint: str) -> None:
    assert endpoint_of(entered) == endpoint
