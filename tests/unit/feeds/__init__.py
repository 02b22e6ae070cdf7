"""Messy feeds, all made for these tests, with what a reader must find in them (`expected.json`)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
BASE = "https://site.example/blog/feed.xml"


@dataclass(frozen=True)
class Sample:
    """One document of the corpus. `articles` is `None` when the document is no feed."""

    name: str
    content_type: str
    title: str | None
    articles: list[dict[str, Any]] | None

    def __str__(self) -> str:
        return self.name

    @property
    def body(self) -> bytes:
        """The document's bytes."""
        return (HERE / self.name).read_bytes()


def corpus() -> list[Sample]:
    """Every document, in the order of the table."""
    table = json.loads((HERE / "expected.json").read_text(encoding="utf-8"))
    return [Sample(name, row["content_type"], row["title"], row["articles"]) for name, row in table.items()]
