"""The contract as a document and as pages to browse: everything comes from this origin.

Both are open, because they say nothing of an installation and clients are made from them. Who is logged in with the
browser may try requests: the page asks for a short token of that login, by POST and with the page's own token.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from importlib.resources import files
from pathlib import Path

from flask import Blueprint, Response, abort, current_app, jsonify, make_response, render_template, send_file
from flask_openapi3.openapi import OpenAPI

from backend.api.access import Access, declare
from backend.api.browser_logins import TOKEN_HEADER, change_token, person_in_browser
from backend.api.context import asker, credential, own_login, parts

docs = Blueprint("docs", __name__)

ASSETS = Path(__file__).with_name("assets")
SWAGGER = Path(str(files("flask_openapi3_swagger"))) / "templates" / "swagger"
FILES = {
    "swagger-ui.css": SWAGGER / "css" / "swagger-ui.css",
    "swagger-ui-bundle.js": SWAGGER / "js" / "swagger-ui-bundle.js",
    "docs.css": ASSETS / "docs.css",
    "start.js": ASSETS / "docs.js",
}
TRY_LIFE = timedelta(hours=1)
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


@docs.get("/openapi.json")
@declare(Access.OPEN)
def contract() -> Response:
    """The OpenAPI document."""
    app = current_app
    if not isinstance(app, OpenAPI):
        abort(404)
    return jsonify(app.api_doc)


@docs.get("/docs")
@declare(Access.OPEN)
def page() -> Response:
    """The contract, to browse and to try."""
    person = person_in_browser()
    token = change_token() if person else ""
    content = render_template("docs.html", person=person, token=token, token_header=TOKEN_HEADER)
    answer = make_response(content)
    answer.headers["Content-Security-Policy"] = POLICY
    answer.headers["Cache-Control"] = "no-store"
    return answer


@docs.post("/docs/token")
@declare(Access.VIEWER, page=True)
def token_to_try() -> Response:
    """A token of this login for the page, so that requests can be tried; it ends with the login, and in an hour."""
    ends = min(credential().expires_at or datetime.max.replace(tzinfo=UTC), datetime.now(UTC) + TRY_LIFE)
    answer = jsonify(access_token=parts().tokens.issue(asker(), own_login(), ends))
    answer.headers["Cache-Control"] = "no-store"
    return answer


@docs.get("/docs/<name>")
@declare(Access.OPEN)
def asset(name: str) -> Response:
    """A script or style of the page."""
    if name not in FILES:
        abort(404)
    return send_file(FILES[name], max_age=300)
