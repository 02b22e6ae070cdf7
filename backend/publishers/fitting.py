"""What a platform can never take of an article, as people must hear it before anything is sent."""

from __future__ import annotations

from backend.domain.errors import CascadeError, InvalidInput
from backend.domain.publishing import Manuscript
from backend.publishers import pictures
from backend.publishers.content import has_something, html_of, tree_of


def unfit(
    platform: str, manuscript: Manuscript, max_title: int, *, embedded: bool
) -> tuple[CascadeError, ...]:
    """No title or one too long, nothing to show, pictures that nobody can read or (unless `embedded`) that are no addresses."""
    found: list[CascadeError] = []
    title = manuscript.title.strip()
    if not title:
        found.append(InvalidInput("no_title", platform=platform))
    if len(title) > max_title:
        found.append(InvalidInput("long_title", platform=platform, length=len(title), limit=max_title))
    html = html_of(manuscript.content, manuscript.content_format)
    if not has_something(html):
        found.append(InvalidInput("no_content", platform=platform))
    root = tree_of(html)
    images = (manuscript.cover, *pictures.sources(root))
    if not embedded and any(one.startswith("data:") for one in images):
        found.append(InvalidInput("embedded_image", platform=platform))
    return (*found, *pictures.troubles(root, manuscript.cover))
