"""`Idempotency-Key`: the same request of the same caller takes effect once, and is answered the same again for a day."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable

from flask import Response, g, request
from sqlalchemy.orm import Session

from backend.api.context import parts
from backend.domain.errors import ConfigurationError, Conflict, InvalidInput, Unavailable
from backend.domain.identifiers import digest, new_id
from backend.store import requests
from backend.store.requests import Reservation
from backend.store.session import transact

log = logging.getLogger(__name__)

HEADER = "Idempotency-Key"
REPLAYED = "Idempotency-Replayed"
MAX_KEY = 255
USABLE_KEY = re.compile(rf"^[\x21-\x7e]{{1,{MAX_KEY}}}$")


def once(work: Callable[[], Response]) -> Response:
    """What `work` answers, or answered before. Raises `InvalidInput` and `Conflict`.

    The mark is set in every transaction of the work, so that two tries can't both commit; a process that dies
    before it leaves nothing behind but a reservation that runs out.
    """
    key = request.headers.get(HEADER)
    if key is None:
        return work()
    reservation = _reservation(key)
    standing = transact(parts().engine, lambda session: requests.reserve(session, reservation))
    if not standing.same_content:
        raise InvalidInput("idempotency_key_reused")
    if standing.answer is not None:
        return _replay(standing.answer)
    if standing.answer_lost:
        raise Conflict("first_answer_lost")
    if not standing.ours:
        raise Conflict("request_in_hand")
    return _do(work, reservation)


def _reservation(key: str) -> Reservation:
    if not USABLE_KEY.match(key):
        raise InvalidInput(fields={HEADER: InvalidInput("bad_idempotency_key", limit=MAX_KEY)})
    node = g.get("node")
    caller = f"node {node.id}" if node else f"user {g.user.id}"
    # The key, which is not stored, keeps a password in the body from being guessed by its hash.
    query, body = request.query_string.decode("latin-1"), request.get_data().decode("latin-1")
    return Reservation(
        id=digest(caller, request.method, request.path, key),
        fingerprint=digest(key, query, body),
        execution=new_id(),
    )


def _do(work: Callable[[], Response], reservation: Reservation) -> Response:
    def mark(session: Session) -> None:
        requests.mark_effect(session, reservation)

    plain = parts().engine
    g.engine = plain.execution_options(before_commit=mark)
    answer: Response | None = None
    try:
        answer = work()
    finally:
        g.engine = plain
        _note(reservation, answer)
    return answer


def _note(reservation: Reservation, answer: Response | None) -> None:
    kept = _sealed(answer) if answer is not None and answer.status_code < 300 else None
    try:
        if kept is None:
            transact(parts().engine, lambda session: requests.release(session, reservation))
        else:
            transact(parts().engine, lambda session: requests.keep_answer(session, reservation, kept))
    except Unavailable:
        log.warning("the answer of an idempotent request could not be kept; asking again will say so")


def _sealed(answer: Response) -> str:
    kept = {
        "status": answer.status_code,
        "headers": list(answer.headers),
        "body": answer.get_data(as_text=True),
    }
    return parts().cipher.encrypt(json.dumps(kept))


def _replay(sealed: str) -> Response:
    try:
        kept = json.loads(parts().cipher.decrypt(sealed))
    except ConfigurationError:
        # It was sealed with a secret key that is gone.
        raise Conflict("first_answer_lost") from None
    answer = Response(kept["body"], kept["status"], kept["headers"])
    answer.headers[REPLAYED] = "true"
    return answer
