"""Pictures at Zhihu (wire 2.7): fetched by Zhihu itself from their address, else uploaded by us."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterable
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any
from urllib.parse import urlsplit

from backend.domain.errors import WorkError
from backend.domain.ports import Desk, HttpRequest, HttpResponse
from backend.publishers.conversation import object_of
from backend.publishers.pictures import Picture, is_remote, read, unusable
from backend.publishers.refusing import stop_if_told
from backend.publishers.zhihu.wire import API, NAME, ZHUANLAN, Conversation

STORE = "https://zhihu-pics-upload.zhimg.com"
BUCKET = "zhihu-pics"
SHOWN = "https://pic4.zhimg.com"
OWN = "zhimg.com"
ALREADY_THERE = 1
POLLS = 20
POLL_SECONDS = 1.0
UPLOAD_SECONDS = 60.0
# What an image's own address may answer without Zhihu being to blame: then we fetch it ourselves.
REFUSED = frozenset({400, 404, 413, 415, 422})


def bring(sources: Iterable[str], talk: Conversation, desk: Desk) -> dict[str, str]:
    """Where each of the pictures is at Zhihu; to bring one twice is harmless. Raises `WorkError`."""
    wanted = [source for source in sources if not _is_own(source)]
    moved: dict[str, str] = {}
    for number, source in enumerate(wanted, 1):
        stop_if_told(desk)
        desk.tell(f"upload {number}/{len(wanted)}")
        moved[source] = _bring_one(source, talk, desk)
    return moved


def _is_own(source: str) -> bool:
    host = urlsplit(source).hostname or "" if is_remote(source) else ""
    return host == OWN or host.endswith(f".{OWN}")


def _bring_one(source: str, talk: Conversation, desk: Desk) -> str:
    if not source.startswith("data:"):
        address = f"https:{source}" if source.startswith("//") else source
        if found := _by_address(address, talk):
            return found
    return _upload(source, read(source, desk, NAME), talk, desk)


def _by_address(address: str, talk: Conversation) -> str:
    """Where Zhihu put it, empty when it could not fetch it (it is inside our network, say)."""
    response = talk.call(
        "POST",
        f"{ZHUANLAN}/api/uploaded_images",
        form={"url": address, "source": "article"},
        expected=REFUSED,
    )
    return str(object_of(response).get("src") or "") if response.status < 300 else ""


def _upload(source: str, picture: Picture, talk: Conversation, desk: Desk) -> str:
    digest = hashlib.md5(picture.content, usedforsecurity=False).hexdigest()
    asked = talk.call("POST", f"{API}/images", content={"image_hash": digest, "source": "article"})
    file, token = _part(asked, "upload_file"), _part(asked, "upload_token")
    key = str(file.get("object_key") or "")
    if file.get("state") != ALREADY_THERE:
        _store(key, picture, token, desk)
    return f"{SHOWN}/{_wait(source, str(file.get('image_id') or ''), key, talk, desk)}"


def _part(response: HttpResponse, name: str) -> dict[str, Any]:
    part = object_of(response).get(name)
    return part if isinstance(part, dict) else {}


def _store(key: str, picture: Picture, token: dict[str, Any], desk: Desk) -> None:
    stamp = format_datetime(datetime.now(UTC), usegmt=True)
    headers = signed(key, picture.kind, stamp, {name: str(value) for name, value in token.items()})
    seconds = max(1.0, min(UPLOAD_SECONDS, desk.seconds_left()))
    try:
        response = desk.http.send(HttpRequest("PUT", f"{STORE}/{key}", headers, picture.content, seconds))
    except WorkError as error:
        # The same bytes under the same key: repeating it changes nothing.
        error.ambiguous = False
        raise
    if response.status >= 300:
        raise WorkError("platform_failed", platform=NAME, status=response.status, what="its image store")


def signed(key: str, kind: str, stamp: str, token: dict[str, str]) -> dict[str, str]:
    """The headers of an upload to Aliyun OSS (signature version 1, with a security token)."""
    passed = token.get("access_token", "")
    text = f"PUT\n\n{kind}\n{stamp}\nx-oss-security-token:{passed}\n/{BUCKET}/{key}"
    mac = hmac.new(token.get("access_key", "").encode(), text.encode(), hashlib.sha1).digest()
    return {
        "Content-Type": kind,
        "Date": stamp,
        "x-oss-security-token": passed,
        "Authorization": f"OSS {token.get('access_id', '')}:{base64.b64encode(mac).decode()}",
    }


def _wait(source: str, image_id: str, key: str, talk: Conversation, desk: Desk) -> str:
    """The name under which it is shown, once Zhihu has looked at it. Raises `WorkError`."""
    for _ in range(POLLS):
        answer = object_of(talk.call("GET", f"{API}/images/{image_id}"))
        status = answer.get("status")
        if status == "success" or (status != "processing" and answer.get("original_hash")):
            return str(answer.get("original_hash") or key)
        if status != "processing":
            raise unusable(source, NAME, f"Zhihu says {status}: {_reason(answer)}")
        if desk.wait(POLL_SECONDS):
            raise WorkError("publish_stopped")
    raise unusable(source, NAME, "Zhihu is still working on it", permanent=False)


def _reason(answer: dict[str, Any]) -> str:
    return str(answer.get("message") or "no reason given")[:200]
