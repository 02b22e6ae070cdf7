"""The `config.yaml` of a child, as the operator copies it to the child's machine."""

from __future__ import annotations

import ipaddress
import json
import socket

from backend.cli.starting import ANY_ADDRESS, url_of
from backend.store.credentials import Pair
from config import Settings

SNIPPET = """\
# {name} · {node_id}
cascade:
  enabled: True
  node_type: child
  parent_api_url: {parent_url}
  api_key: {api_key}
  api_secret: {api_secret}
  sync_interval: 300
  heartbeat_interval: 60
"""


def child_config(name: str, node_id: str, pair: Pair, parent_url: str) -> str:
    """The snippet; it holds the secret."""
    return SNIPPET.format(
        name=" ".join(name.split()),
        node_id=node_id,
        # JSON's strings are YAML's too.
        parent_url=json.dumps(parent_url),
        api_key=json.dumps(pair.api_key),
        api_secret=json.dumps(pair.api_secret),
    )


def parent_url(settings: Settings) -> str:
    """Where children on other machines probably reach this parent: its address, else this machine's name."""
    if settings.host in ANY_ADDRESS or is_loopback(settings.host):
        return url_of(socket.gethostname(), settings.port)
    return url_of(settings.host, settings.port)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches it."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
