"""Hosts that answer elsewhere: a relay in front of a platform, or a local server that speaks its wire."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from urllib.parse import urlsplit

from backend.domain.ports import HttpClient, HttpRequest, HttpResponse


class ElsewhereHttpClient:
    """Implements `HttpClient`: what is meant for one of the hosts goes to its base address, path and query appended.

    The guard looks at where it goes in truth. Redirects are followed as they come.
    """

    def __init__(self, http: HttpClient, hosts: Mapping[str, str]) -> None:
        self._http = http
        self._hosts = {host.casefold(): base.rstrip("/") for host, base in hosts.items()}

    def send(self, request: HttpRequest) -> HttpResponse:
        """Send it there. Raises `WorkError` as the port says."""
        return self._http.send(replace(request, url=self._moved(request.url)))

    def _moved(self, url: str) -> str:
        parts = urlsplit(url)
        base = self._hosts.get(parts.netloc.casefold())
        if base is None:
            return url
        return f"{base.rstrip('/')}{parts.path or '/'}" + (f"?{parts.query}" if parts.query else "")
