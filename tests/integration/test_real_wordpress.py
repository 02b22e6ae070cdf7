"""A real WordPress (`./cascade test --real-wordpress`): what the stand-ins claim of it, on the program itself."""

from __future__ import annotations

import base64
import dataclasses
import struct
import urllib.request
import zlib
from collections.abc import Iterator

import pytest

from backend.domain.ports import Publisher
from backend.domain.publishing import Credentials, Health, Presence
from backend.publishers.metaweblog.publisher import MetaWeblogPublisher
from backend.publishers.wordpress.publisher import WordPressPublisher
from tests.desks import Desktop, failure
from tests.e2e.browser import opened_browser
from tests.real_wordpress import USER, RealWordPress
from tests.servers import MariaDb
from tests.standins.platform import PlatformServer

pytestmark = pytest.mark.real_wordpress
ARTICLE = """## A heading

Text with **bold** words & a [link](https://example.com/).

```python
print("<hello>")
```

| name | value |
|------|-------|
| one  | 1     |

> quoted

![a red square](%s)
"""


def red_square() -> str:
    """A PNG of 64 by 64 red pixels, embedded."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        )

    rows = (b"\0" + b"\xff\0\0" * 64) * 64
    head = struct.pack(">IIBBBBB", 64, 64, 8, 2, 0, 0, 0)
    png = (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory, mariadb_session: MariaDb) -> Iterator[RealWordPress]:
    """The blog, running."""
    server = RealWordPress(tmp_path_factory.mktemp("wordpress"), mariadb_session)
    server.install()
    server.start()
    try:
        yield server
    finally:
        server.stop()


@dataclasses.dataclass
class User:
    """The blog's user at the publishers; no stand-in has a part in it."""

    real: RealWordPress
    nowhere: PlatformServer

    def at(self, publisher: Publisher, secret: str = "") -> Desktop[PlatformServer]:
        """With her application password, or another one."""
        fields = {"url": self.real.home, "username": USER, "password": secret or self.real.secret}
        return Desktop(self.nowhere, publisher, Credentials(fields=fields))


@pytest.fixture
def user(real: RealWordPress) -> Iterator[User]:
    """The blog's user."""
    with PlatformServer() as nowhere:
        yield User(real, nowhere)


def read(url: str) -> str:
    """The page that everybody sees."""
    with urllib.request.urlopen(url, timeout=60) as answer:
        return str(answer.read().decode())


@pytest.mark.parametrize("publisher", [WordPressPublisher(), MetaWeblogPublisher()], ids=["REST", "XML-RPC"])
def test_an_article_is_drafted_updated_published_and_found(user: User, publisher: Publisher) -> None:
    blog = user.at(publisher)
    assert blog.check().health is Health.OK
    order = blog.order(ARTICLE % red_square(), tags=("Python & Co", "Second"))
    order = dataclasses.replace(order, manuscript=dataclasses.replace(order.manuscript, title="R&D <1>"))
    first = blog.prepare(order)
    order, prepared = blog.submit(dataclasses.replace(order, draft_id=first.draft_id))
    assert prepared.draft_id == first.draft_id
    assert blog.find(order).presence is Presence.NOT_THERE
    published = blog.publish(order, prepared)
    assert blog.publish(order, prepared).platform_id == published.platform_id
    assert blog.find(order).published == published
    page = read(published.url)
    for part in (
        "A heading</h2>",
        "<strong>bold</strong>",
        "print(",
        "&lt;hello&gt;",
        "<td>one</td>",
        "<blockquote",
    ):
        assert part in page
    assert "cascade-" in page
    assert "data:image" not in page


def test_the_published_page_looks_right_in_a_browser(real: RealWordPress, user: User) -> None:
    real.use_permalinks()
    blog = user.at(WordPressPublisher())
    order = blog.order(ARTICLE % red_square(), tags=("Python & Co",))
    published = blog.publish(*blog.submit(order))
    assert published.url.startswith(f"{real.home}/a-title")
    with opened_browser() as browser:
        page = browser.new_page(viewport={"width": 1000, "height": 1400})
        page.goto(published.url)
        assert page.locator("h2", has_text="A heading").is_visible()
        square = page.locator("img[alt='a red square']")
        assert square.evaluate("image => image.naturalWidth") == 64
        page.screenshot(path=str(real.folder / "published.png"))


def test_a_wrong_and_a_revoked_password_expire_the_account(real: RealWordPress, user: User) -> None:
    wrong = user.at(WordPressPublisher(), "abcd efgh ijkl mnop qrst uvwx")
    assert (wrong.check().health, wrong.check().code) == (Health.EXPIRED, "session_expired")
    assert user.at(MetaWeblogPublisher(), "wrong").check().health is Health.EXPIRED
    secret = real.new_password()
    blog = user.at(WordPressPublisher(), secret)
    order, prepared = blog.submit(blog.order())
    real.revoke_passwords()
    real.secret = real.new_password()
    error = failure(lambda: blog.publish(order, prepared))
    assert (error.code, error.ambiguous) == ("session_expired", False)
    again = user.at(WordPressPublisher())
    assert (
        again.find(dataclasses.replace(order, credentials=again.credentials)).presence is Presence.NOT_THERE
    )


def test_a_draft_that_somebody_threw_away_is_gone(real: RealWordPress, user: User) -> None:
    blog = user.at(WordPressPublisher())
    order, prepared = blog.submit(blog.order())
    real.run_php(f"<?php require '%(root)s/wp-load.php'; wp_delete_post({prepared.draft_id}, true);")
    assert failure(lambda: blog.prepare(order)).code == "draft_gone"
    assert blog.find(order).presence is Presence.UNKNOWN
