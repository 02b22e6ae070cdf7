"""`/docs` in a real browser: every operation is there, and nothing comes from anywhere else."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from werkzeug.serving import make_server

from tests.e2e.browser import opened_browser
from tests.unit.test_routes_have_auth import make_app

ADD_TASK = "#operations-message-tasks-message_tasks_add_task"


@pytest.fixture
def origin() -> Iterator[str]:
    """Where the application listens."""
    server = make_server("127.0.0.1", 0, make_app(), threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_contract_can_be_browsed_without_any_outside_asset(origin: str) -> None:
    operations = sum(len(methods) for methods in make_app().api_doc["paths"].values())
    complaints: list[str] = []
    asked: list[str] = []
    with opened_browser() as browser:
        page = browser.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(f"{origin}/docs")
        page.wait_for_selector(ADD_TASK)
        assert page.locator(".opblock").count() == operations
        page.click(f"{ADD_TASK} .opblock-summary-control")
        page.wait_for_selector(f"{ADD_TASK} .responses-table")
        shown = page.inner_text(ADD_TASK)
    assert complaints == []
    assert {urlsplit(url).netloc for url in asked if not url.startswith("data:")} == {urlsplit(origin).netloc}
    assert "Idempotency-Key" in shown
    assert "is required" in shown
