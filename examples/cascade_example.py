#!/usr/bin/env python3
"""How a parent and its children talk, over HTTP alone. Python 3.11 and nothing else.

    python examples/cascade_example.py parent [--task ID]   dispatch, then show nodes and allocations
    python examples/cascade_example.py child [--once]       beat, take work, do it, report
    python examples/cascade_example.py check                show nodes and allocations

Addresses and credentials come from the environment:

    CASCADE_PARENT_URL   http://127.0.0.1:8001 unless set
    CASCADE_ACCESS_KEY   parent, check: what `./cascade key add admin` prints
    CASCADE_API_KEY      child: what `./cascade node add` prints
    CASCADE_API_SECRET   child: the same
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from datetime import UTC, datetime
from typing import Any

BEAT_SECONDS = 60.0
WAIT_SECONDS = 20
ANSWER_SECONDS = 40


class Parent:
    """The parent's HTTP interface, as somebody with this `Authorization` may use it."""

    def __init__(self, authorization: str) -> None:
        self.url = os.environ.get("CASCADE_PARENT_URL", "http://127.0.0.1:8001").rstrip("/")
        self.authorization = authorization

    def ask(self, method: str, path: str, body: object = None, **query: object) -> Any:
        """The `data` of the answer; what the parent refuses ends the program with its own sentence."""
        words = urllib.parse.urlencode({name: value for name, value in query.items() if value is not None})
        request = urllib.request.Request(
            f"{self.url}/api/v1/cascade{path}" + (f"?{words}" if words else ""),
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": self.authorization, "Content-Type": "application/json"},
            method=method,
        )
        try:
            with urllib.request.urlopen(request, timeout=ANSWER_SECONDS) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            sys.exit(f"{method} {path}: {error.code} {_message(error)}")
        except urllib.error.URLError as error:
            sys.exit(f"{self.url} does not answer ({error.reason}); is CASCADE_PARENT_URL right?")


def _message(error: urllib.error.HTTPError) -> str:
    try:
        return str(json.load(error)["message"])
    except (ValueError, KeyError):
        return "is not what a Cascade parent answers"


def as_person() -> Parent:
    """The parent as an operator sees it."""
    return Parent(f"AK-SK {_needed('CASCADE_ACCESS_KEY')}")


def as_child() -> Parent:
    """The parent as a child sees it."""
    return Parent(f"AK-SK {_needed('CASCADE_API_KEY')}:{_needed('CASCADE_API_SECRET')}")


def _needed(name: str) -> str:
    value = os.environ.get(name, "")
    return value or sys.exit(f"Set {name} first; {sys.argv[0]} --help says where it comes from.")


def say(line: str) -> None:
    """One line for the person."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def run_parent(task_id: str | None) -> None:
    """Dispatch one message task, or every enabled one, and show what came of it."""
    parent = as_person()
    report = parent.ask("POST", "/dispatch-task", task_id=task_id)
    say(
        f"dispatched {report['task_count']} tasks to {report['online_nodes']} online nodes: "
        f"{report['allocations_created']} allocations, {report['items_waiting']} feeds wait"
        + (f" ({report['reason']})" if report["reason"] else "")
    )
    show(parent)


def run_check() -> None:
    """Show every node and the newest allocations."""
    show(as_person())


def show(parent: Parent) -> None:
    """Nodes and allocations, one a line."""
    for node in parent.ask("GET", "/nodes"):
        state = "online" if node["status"] else "offline"
        load = f"{node['current_tasks']}/{node['max_capacity']}"
        say(f"node {node['name']}: {state}, {load}" + (f", {node['reason']}" if node["reason"] else ""))
    page = parent.ask("GET", "/allocations", limit=20)
    for one in page["list"]:
        feeds = len(one["feed_ids"])
        say(f"allocation {one['allocation_id']}: {one['status']}, {feeds} feeds on {one['node_name']}")
    say(f"{page['total']} allocations in all")


def run_child(*, once: bool) -> None:
    """Beat, take work, do it and report, until interrupted; `once`: until there is nothing to do."""
    parent, beaten = as_child(), float("-inf")
    while True:
        if time.monotonic() - beaten >= BEAT_SECONDS:
            parent.ask("POST", "/heartbeat")
            beaten = time.monotonic()
        package = parent.ask("POST", "/claim-task", wait=0 if once else WAIT_SECONDS)
        if package is not None:
            work(parent, package)
        elif once:
            say("nothing to do")
            return


def work(parent: Parent, package: dict[str, Any]) -> None:
    """Collect each feed of a package, hand its articles in, and report how each went."""
    allocation_id = package["allocation_id"]
    say(f"working on {allocation_id}: {len(package['feeds'])} feeds of {package['task_name']}")
    parent.ask("PUT", "/task-status", _said(allocation_id, status="executing", error_message=None))
    results = []
    for feed in package["feeds"]:
        try:
            articles = collect(feed)
        except Exception as error:  # noqa: BLE001  (whatever a collector raises is this feed's failure)
            results.append(
                {"mp_id": feed["id"], "mp_name": feed["mp_name"], "status": "failed", "error": str(error)}
            )
            continue
        if articles:
            stored = parent.ask("POST", "/upload-articles", _said(allocation_id, articles=articles))
            say(f"  {feed['mp_name']}: {stored['received']} articles, {stored['new_count']} new")
        results.append(
            {
                "mp_id": feed["id"],
                "mp_name": feed["mp_name"],
                "status": "success",
                "article_count": len(articles),
            }
        )
    count = sum(one.get("article_count", 0) for one in results)
    done = _said(allocation_id, task_id=package["task_id"], results=results, article_count=count)
    parent.ask("POST", "/report-completion", done)
    say(f"reported {allocation_id}: {count} articles")


def _said(allocation_id: str, **said: object) -> dict[str, object]:
    return {"allocation_id": allocation_id, **said, "timestamp": datetime.now(UTC).isoformat()}


def collect(feed: dict[str, Any]) -> list[dict[str, Any]]:
    """The articles of a feed. Put your own collector here; what it returns is stored by the parent and delivered.

    This one collects nothing, unless CASCADE_EXAMPLE_ARTICLES says how many articles to invent.
    """
    return [
        {
            "id": f"{feed['id'].removeprefix('MP_WXS_')}-example_{number}",
            "mp_id": feed["id"],
            "title": f"{feed['mp_name']} {number}",
            "url": f"https://example.com/{feed['id']}/{number}",
            "description": "An invented article.",
            "content": "<p>Invented.</p>",
            "publish_time": int(time.time()),
        }
        for number in range(int(os.environ.get("CASCADE_EXAMPLE_ARTICLES", "0")))
    ]


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parts = parser.add_subparsers(dest="part", required=True)
    parts.add_parser("parent", help="dispatch and show").add_argument("--task", help="only this message task")
    parts.add_parser("child", help="work").add_argument(
        "--once", action="store_true", help="stop when there is nothing to do"
    )
    parts.add_parser("check", help="show nodes and allocations")
    words = parser.parse_args()
    if words.part == "parent":
        run_parent(words.task)
    elif words.part == "child":
        run_child(once=words.once)
    else:
        run_check()


if __name__ == "__main__":
    main()
