"""OPML in and out."""

from __future__ import annotations

import pytest
from flask.testing import FlaskClient

from backend.domain.opml import OpmlEntry, parse_opml, render_opml
from tests.integration.api.harness import Api, add_feed, data

IMPORT = "/api/v1/feeds/import"
EXPORT = "/api/v1/feeds/export"

MIXED = """<?xml version="1.0" encoding="UTF-8"?>
<opml version="2.0"><body>
<outline text="News"><outline text="Deep">
<outline type="rss" text="One" xmlUrl="https://example.com/1"/>
</outline>
<outline type="rss" text="One again" xmlUrl="https://example.com/1"/>
<outline type="rss" title="二" text="Two" xmlUrl="https://example.com/2"/>
<outline type="rss" text="No address"/>
</outline>
<outline type="rss" text="Bad" xmlUrl="javascript:alert(1)"/>
</body></opml>""".encode()


def import_file(client: FlaskClient, content: bytes, content_type: str = "text/x-opml") -> dict[str, object]:
    found: dict[str, object] = data(client.post(IMPORT, data=content, content_type=content_type))
    return found


def test_an_import_counts_what_it_added_found_and_refused(admin: FlaskClient) -> None:
    found = import_file(admin, MIXED)
    assert (found["added"], found["existing"]) == (2, 1)
    refused = found["refused"]
    assert isinstance(refused, list)
    assert [(one["line"], one["title"], one["url"]) for one in refused] == [
        (8, "No address", ""),
        (10, "Bad", "javascript:alert(1)"),
    ]
    assert "xmlUrl" in refused[0]["reason"]
    assert "http" in refused[1]["reason"]
    names = [feed["name"] for feed in data(admin.get("/api/v1/feeds"))["list"]]
    assert sorted(names) == ["One", "二"]


def test_importing_again_adds_nothing(admin: FlaskClient) -> None:
    import_file(admin, MIXED)
    again = import_file(admin, MIXED)
    assert (again["added"], again["existing"]) == (0, 3)
    assert data(admin.get("/api/v1/feeds"))["total"] == 2


def test_an_import_over_several_transactions_adds_every_feed_once(admin: FlaskClient) -> None:
    entries = [OpmlEntry(f"Feed {n}", f"https://example.com/{n % 1100}") for n in range(1200)]
    found = import_file(admin, render_opml("many", entries))
    assert (found["added"], found["existing"], found["refused"]) == (1100, 100, [])
    assert data(admin.get("/api/v1/feeds?limit=1"))["total"] == 1100


@pytest.mark.parametrize("content_type", ["application/xml", "text/xml; charset=utf-8"])
def test_xml_content_types_are_read_too(admin: FlaskClient, content_type: str) -> None:
    assert import_file(admin, MIXED, content_type)["added"] == 2


def test_another_content_type_is_refused_with_the_one_to_send(admin: FlaskClient) -> None:
    answer = admin.post(IMPORT, data=MIXED, content_type="application/x-www-form-urlencoded")
    assert data(answer, 415) == {"error": "bad_content_type"}
    assert "text/x-opml" in answer.get_json()["message"]


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "bad_opml"),
        (b"not xml", "bad_opml"),
        (b"<opml><body><outline></body>", "bad_opml"),
        (b'<!DOCTYPE o [<!ENTITY x "y">]><opml><outline xmlUrl="&x;"/></opml>', "bad_opml"),
        (b"<html><body/></html>", "opml_no_feeds"),
    ],
)
def test_a_file_that_is_no_opml_is_refused_whole(admin: FlaskClient, content: bytes, code: str) -> None:
    answer = admin.post(IMPORT, data=content, content_type="text/x-opml")
    assert data(answer, 422)["error"] == code
    assert data(admin.get("/api/v1/feeds"))["total"] == 0


def test_an_import_may_be_larger_than_other_bodies_but_not_endless(admin: FlaskClient) -> None:
    padding = b"<!-- " + b"x" * (2 * 1024 * 1024) + b" -->"
    assert import_file(admin, MIXED + padding)["added"] == 2
    answer = admin.post(IMPORT, data=b"x" * (10 * 1024 * 1024 + 1), content_type="text/x-opml")
    assert data(answer, 413) == {"error": "body_too_large"}
    assert "10 MB" in answer.get_json()["message"]


def test_an_export_imported_elsewhere_gives_the_same_feeds(api: Api, admin: FlaskClient) -> None:
    add_feed(admin, 'https://example.com/?a=1&b="2"'.replace('"', "%22"), "Ampersand & <angle>")
    add_feed(admin, "https://example.com/2", "中文")
    answer = api.as_role("viewer").get(EXPORT)
    assert answer.mimetype == "text/x-opml"
    assert "attachment" in answer.headers["Content-Disposition"]
    assert {(entry.title, entry.url) for entry in parse_opml(answer.data).entries} == {
        ("Ampersand & <angle>", "https://example.com/?a=1&b=%222%22"),
        ("中文", "https://example.com/2"),
    }


def test_reasons_are_in_the_readers_language(api: Api) -> None:
    found = import_file(api.as_role("admin", Accept_Language="zh-CN,zh;q=0.9"), MIXED)
    refused = found["refused"]
    assert isinstance(refused, list)
    assert refused[0]["reason"] == "该条目没有 xmlUrl。"
