"""Codes to log in with, as pictures."""

from __future__ import annotations

import io
from typing import Literal

import segno
from flask import Response

SCALE = 8
TYPES = {"png": "image/png", "svg": "image/svg+xml"}


def picture(link: str, form: Literal["png", "svg"]) -> Response:
    """The QR code of the link; nobody may keep it."""
    drawn = io.BytesIO()
    segno.make(link, error="m", micro=False).save(drawn, kind=form, scale=SCALE, border=4)
    answer = Response(drawn.getvalue(), mimetype=TYPES[form])
    answer.headers["Cache-Control"] = "no-store"
    return answer
