"""Which proxy, if any, a URL goes through: HTTP_PROXY, HTTPS_PROXY and NO_PROXY."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass

from urllib3.util import Url, parse_url

from backend.domain.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Proxies:
    """The proxy URLs, empty when there is none, and the hosts that go without."""

    http: str = ""
    https: str = ""
    exempt: tuple[str, ...] = ()

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Proxies:
        """Read the usual variables; lower case wins, as everywhere. Raises `ConfigurationError`."""
        exempt = environ.get("no_proxy") or environ.get("NO_PROXY") or ""
        return cls(
            _proxy(environ, "http_proxy"),
            _proxy(environ, "https_proxy"),
            tuple(part.strip().lower() for part in exempt.split(",") if part.strip()),
        )

    def choose(self, url: Url) -> str:
        """The proxy's URL, or an empty text."""
        proxy = self.https if url.scheme == "https" else self.http
        return "" if not proxy or self._is_exempt(url) else proxy

    def _is_exempt(self, url: Url) -> bool:
        host = (url.host or "").strip("[]").lower()
        port = url.port or (443 if url.scheme == "https" else 80)
        return any(_matches(rule, host, port) for rule in self.exempt)


def _proxy(environ: Mapping[str, str], name: str) -> str:
    text = (environ.get(name) or environ.get(name.upper()) or "").strip()
    if not text:
        return ""
    url = parse_url(text if "://" in text else f"http://{text}")
    if url.scheme not in {"http", "https"} or not url.host:
        raise ConfigurationError(
            name=name.upper(), detail="must be a URL such as http://proxy.example:3128 (http or https)"
        )
    return url.url


def _matches(rule: str, host: str, port: int) -> bool:
    if rule == "*":
        return True
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(rule, strict=False)
    except ValueError:
        pass
    name, _, rule_port = rule.rpartition(":")
    if name and rule_port.isdigit():
        if int(rule_port) != port:
            return False
        rule = name
    rule = rule.removeprefix("*").lstrip(".").strip("[]")
    return host == rule or host.endswith(f".{rule}")
