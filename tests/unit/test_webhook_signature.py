"""What docs/publishing.md tells receivers of web hooks to do is what our signatures need."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from backend.domain.signing import SIGNATURE_HEADER, TIMESTAMP_HEADER, signature_headers

PAGE = Path(__file__).resolve().parents[2] / "docs" / "publishing.md"


def test_the_receivers_check_of_the_page_knows_our_signature() -> None:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    names: dict[str, Any] = {}
    exec(code, names)  # noqa: S102 - our own page
    headers = signature_headers(["the secret"], 1_800_000_000, b"{}")
    stamp, signature = headers[TIMESTAMP_HEADER], headers[SIGNATURE_HEADER]
    assert names["is_ours"]("the secret", stamp, signature, b"{}")
    assert not names["is_ours"]("the secret", stamp, signature, b"{ }")
    assert not names["is_ours"]("another", stamp, signature, b"{}")
