"""What can be collected: stand-in feeds of every temper, and accounts that only simulated children can read.

Nothing here is ever broken; both keep journals of their own.
"""

from __future__ import annotations

import random
import threading
from collections import Counter
from typing import Any

from tests.chaos.journals import Journals
from tests.standins.feeds import Answer, FeedServer

# A feed that is gone is switched off by the parent, so that runs after it have fewer items than were counted.
GONE = "gone"
FLAKY_EVERY = 3


class Feeds(FeedServer):
    """Generated feeds: fast ones, slow ones, ones that break now and then, and broken ones."""

    def __init__(self, count: int, broken: int, seed: int, journals: Journals) -> None:
        super().__init__(count, broken=broken, hang_seconds=2.0)
        chance = random.Random(f"feeds {seed}")  # noqa: S311
        self.journals = journals
        self.flaky: set[int] = set()
        self.asked: Counter[int] = Counter()
        for feed in self.feeds.values():
            temper = chance.random()
            # A slow redirect loop would take half a minute for each of its attempts.
            slow = temper < 0.3 and not feed.broken
            feed.delay = chance.uniform(1.0, 6.0) if slow else chance.uniform(0.0, 0.3)
            if temper > 0.9 and not feed.broken:
                self.flaky.add(feed.number)
            for article in feed.articles:
                journals.publish(feed.path, article.link)

    @property
    def usable(self) -> list[int]:
        """The numbers of the feeds that tasks name."""
        return [number for number, feed in self.feeds.items() if feed.form != GONE]

    def publish(self, number: int) -> None:
        """One more article; in the journal before anybody can see it."""
        feed = self.feeds[number]
        self.journals.publish(feed.path, f"https://feeds.example/{number}/{len(feed.articles) + 1}")
        self.add_article(number)

    def answer(self, path: str, known_tag: str) -> Answer:
        """See `FeedServer`: flaky feeds refuse each third request."""
        number = path.rpartition("/")[2]
        if number.isdigit() and int(number) in self.flaky:
            self.asked[int(number)] += 1
            if self.asked[int(number)] % FLAKY_EVERY == 0:
                return Answer(503, b"not now", "text/plain")
        return super().answer(path, known_tag)


class Accounts:
    """WeChat accounts with their articles, as children find them."""

    def __init__(self, count: int, journals: Journals) -> None:
        self.journals = journals
        self._articles: dict[str, int] = {}
        self._lock = threading.Lock()
        for number in range(1, count + 1):
            self._articles[f"MP_WXS_{3_000_000_000 + number}"] = 0
        for account in self._articles:
            self.publish(account)

    @property
    def ids(self) -> list[str]:
        """Every account."""
        return list(self._articles)

    def publish(self, account: str) -> None:
        """One more article; in the journal before anybody can see it."""
        with self._lock:
            number = self._articles[account] + 1
            self.journals.publish(account, link_of(account, number))
            self._articles[account] = number

    def articles(self, account: str) -> list[dict[str, Any]]:
        """What a child finds now, as WeRSS uploads it."""
        digits = account.removeprefix("MP_WXS_")
        return [
            {
                "id": f"{digits}-26529{number:05d}_1",
                "mp_id": account,
                "title": f"标题 {number}",
                "url": link_of(account, number),
                "description": "摘要",
                "content": "<p>正文</p>",
                "status": 1,
                "publish_time": 1_700_000_000 + number,
            }
            for number in range(1, self._articles.get(account, 0) + 1)
        ]


def link_of(account: str, number: int) -> str:
    """The address of an account's article."""
    return f"https://mp.weixin.qq.com/s/{account.removeprefix('MP_WXS_')}-{number}"
