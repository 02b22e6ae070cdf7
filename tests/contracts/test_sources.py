"""What every source promises: found by entry point, safe in threads, articles within their limits, only `WorkError`."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib.metadata import entry_points

import pytest

from backend.domain.errors import WorkError
from backend.domain.messages import CATALOGUE
from backend.domain.orders import ArticleDraft, FeedOrder, FetchResult
from backend.domain.ports import HttpRequest, HttpResponse, Source
from backend.outbound.client import GuardedHttpClient
from tests.standins.feeds import BREAKAGES, FORMATS, FeedServer

FOUND = sorted(entry_points(group="cascade.sources"), key=lambda point: point.name)
# One feed of every format, then one of every breakage.
COUNT = len(FORMATS) + len(BREAKAGES)


class Hurried:
    """The real client, with less patience than a source may ask for: tests don't wait 30 s for a server that hangs."""

    def __init__(self) -> None:
        self._client = GuardedHttpClient(("127.0.0.0/8",), {})
        self.requests: list[HttpRequest] = []

    def send(self, request: HttpRequest) -> HttpResponse:
        """Send it within 1.5 s."""
        self.requests.append(request)
        return self._client.send(replace(request, seconds=min(request.seconds, 1.5)))


@pytest.fixture
def server() -> Iterator[FeedServer]:
    with FeedServer(COUNT, articles=4, broken=len(BREAKAGES)) as serving:
        yield serving


@pytest.fixture
def http() -> Hurried:
    return Hurried()


@pytest.fixture(params=FOUND, ids=lambda point: point.name)
def source(request: pytest.FixtureRequest) -> Source:
    made: Source = request.param.load()()
    assert made.kind == request.param.name
    return made


def order(server: FeedServer, number: int, **known: str) -> FeedOrder:
    url = server.feed_url(number)
    return FeedOrder(f"item-{number}", f"feed-{number}", "rss", f"Feed {number}", url, **known)


def good(server: FeedServer) -> list[int]:
    return [feed.number for feed in server.feeds.values() if not feed.broken]


def bad(server: FeedServer) -> list[int]:
    return [feed.number for feed in server.feeds.values() if feed.broken]


def titles(result: FetchResult) -> tuple[str, ...]:
    return tuple(article.title for article in result.articles)


def test_there_is_a_source_to_test() -> None:
    assert "rss" in {point.name for point in FOUND}


def test_every_format_brings_exactly_its_articles(source: Source, server: FeedServer, http: Hurried) -> None:
    expected = server.expected_titles()
    for number in good(server):
        assert titles(source.fetch(order(server, number), http)) == expected[f"/feeds/{number}"]


def test_articles_keep_within_their_limits(source: Source, server: FeedServer, http: Hurried) -> None:
    for number in good(server):
        articles = source.fetch(order(server, number), http).articles
        assert len({article.key for article in articles}) == len(articles) == 4
        for article in articles:
            _check_article(article)


def _check_article(article: ArticleDraft) -> None:
    assert 0 < len(article.key) <= 500
    assert 0 < len(article.title) <= 1000
    assert article.url.startswith("https://feeds.example/")
    assert article.published_at is not None
    assert article.published_at.utcoffset() is not None


def test_keys_stay_the_same_when_a_feed_grows(source: Source, server: FeedServer, http: Hurried) -> None:
    for number in good(server):
        before = [article.key for article in source.fetch(order(server, number), http).articles]
        added = server.add_article(number)
        after = source.fetch(order(server, number), http)
        assert [article.key for article in after.articles][1:] == before
        assert after.articles[0].title == added


def test_an_unchanged_feed_is_not_read_again(source: Source, server: FeedServer, http: Hurried) -> None:
    for number in good(server):
        first = source.fetch(order(server, number), http)
        again = source.fetch(order(server, number, etag=first.etag), http)
        assert (again.not_modified, again.articles, again.etag) == (True, (), first.etag)
        server.add_article(number)
        changed = source.fetch(order(server, number, etag=again.etag), http)
        assert (changed.not_modified, len(changed.articles)) == (False, 5)


def test_only_a_permanent_redirect_changes_the_address(
    source: Source, server: FeedServer, http: Hurried
) -> None:
    finals = {
        feed.form: source.fetch(order(server, feed.number), http).final_url.removeprefix(server.url)
        for feed in server.feeds.values()
        if not feed.broken
    }
    assert finals["rss20"] == "/feeds/0"
    assert finals["moved_302"] == f"/feeds/{FORMATS.index('moved_302')}"
    assert finals["moved_308"] == f"/moved/{FORMATS.index('moved_308')}"


def test_every_breakage_is_a_work_error_with_its_own_code(
    source: Source, server: FeedServer, http: Hurried
) -> None:
    expected = server.expected_failures()
    for number in bad(server):
        with pytest.raises(WorkError) as caught:
            source.fetch(order(server, number), http)
        assert caught.value.code == expected[f"/feeds/{number}"]
        assert caught.value.code in CATALOGUE
        assert "?" not in caught.value.sentence("en") + caught.value.sentence("zh")


def test_what_can_not_succeed_later_is_permanent(source: Source, server: FeedServer, http: Hurried) -> None:
    permanent = {}
    for number in bad(server):
        with pytest.raises(WorkError) as caught:
            source.fetch(order(server, number), http)
        permanent[server.feeds[number].form] = caught.value.permanent
    lasting = {"not_found", "gone", "html_page", "redirect_loop", "garbage"}
    assert permanent == {form: form in lasting for form in BREAKAGES}


def test_a_busy_server_says_how_long_to_wait(source: Source, server: FeedServer, http: Hurried) -> None:
    busy = len(FORMATS) + BREAKAGES.index("busy")
    with pytest.raises(WorkError) as caught:
        source.fetch(order(server, busy), http)
    assert caught.value.retry_after == 1


def test_requests_are_bounded_in_time_and_size(source: Source, server: FeedServer, http: Hurried) -> None:
    source.fetch(order(server, 0), http)
    [request] = http.requests
    assert request.seconds <= 30
    assert request.max_bytes <= 10 * 1024 * 1024


def test_one_source_serves_many_threads(source: Source, server: FeedServer, http: Hurried) -> None:
    expected = server.expected_titles()
    numbers = good(server) * 10
    with ThreadPoolExecutor(25) as pool:
        found = list(pool.map(lambda number: titles(source.fetch(order(server, number), http)), numbers))
    assert found == [expected[f"/feeds/{number}"] for number in numbers]
