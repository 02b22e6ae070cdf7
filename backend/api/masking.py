"""What people see of secrets that they may not see."""

from __future__ import annotations

import json
from urllib.parse import urlsplit

MASK = "***"


def mask_url(url: str) -> str:
    """Scheme and, of a web address, host; robots' addresses hold their key where a host would be."""
    parts = urlsplit(url)
    if not url:
        return ""
    if parts.scheme in {"http", "https"} and parts.hostname:
        return f"{parts.scheme}://{parts.hostname}/{MASK}"
    return f"{parts.scheme}://{MASK}"


def mask_headers(headers: str) -> str:
    """The names stay, the values go."""
    return json.dumps(dict.fromkeys(json.loads(headers), MASK)) if headers else ""


def mask_cookies(cookies: str) -> str:
    """The names stay, the values go."""
    names = (part.split("=")[0].strip() for part in cookies.split(";") if part.strip())
    return "; ".join(f"{name}={MASK}" for name in names)
