"""A receiver of articles by web hook: checks the signature, drops repeats by their `Idempotency-Key`, keeps a journal.

    python -m tests.standins.webhook_receiver --port 9000 --journal published.jsonl --account alice=the-secret

Calls have names for faults: check, publish. An account is known by the key that its signature was made with.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from backend.domain.errors import Unauthenticated
from backend.domain.signing import verify
from tests.standins.platform import Call, Fault, Kind, PlatformServer, Reply, serve_forever

HOST = "hooks.example.com"


class WebhookReceiver(PlatformServer):
    """The server; it answers at any path."""

    hosts = (HOST,)

    def __init__(self, port: int = 0, journal: Path | None = None) -> None:
        super().__init__(port, journal)
        self.secrets: dict[str, str] = {}
        self.articles_by_key: dict[str, dict[str, Any]] = {}

    def add_account(self, name: str, **given: str) -> None:
        """An account that signs with this secret."""
        with self.lock:
            self.secrets[name] = given["secret"]

    def recognise(self, call: Call) -> tuple[str, str]:
        """By method; who asks, by whose signature fits."""
        name = {"HEAD": "check", "POST": "publish"}.get(call.method, "")
        for account, secret in self.secrets.items():
            try:
                verify(call.headers, call.body, secret_hash=secret, now=time.time())
            except Unauthenticated:
                continue
            return name, account
        return name, ""

    def refusal(self, fault: Fault) -> Reply:
        """As web services commonly say it."""
        waits = [("Retry-After", f"{fault.seconds:.0f}")] * (fault.seconds > 0)
        status = {Kind.EXPIRE: 401, Kind.RATE_LIMIT: 429, Kind.REFUSE: 422}.get(fault.kind, 503)
        return Reply(status, {"error": fault.text or f"told to {fault.kind}"}, waits)

    def serve(self, name: str, account: str, call: Call) -> Reply:
        """Take the article, once for each key."""
        if not account:
            return Reply(401, {"error": "the signature fits no secret"})
        if name == "check":
            return Reply(200)
        key = call.headers.get("idempotency-key", "")
        if not key:
            return Reply(400, {"error": "an article without a key can't be told from its repeat"})
        again = key in self.articles_by_key
        self.articles_by_key.setdefault(key, call.json)
        identifier = f"a-{key}"
        self.note(account, identifier, str(call.json.get("title")), again=again, key=key)
        return Reply(
            200 if again else 201, json.dumps({"id": identifier, "url": f"https://{HOST}/read/{key}"})
        )


if __name__ == "__main__":
    serve_forever(WebhookReceiver, __doc__ or "")
