"""Alerts over HTTP: what is open, one with its messages, and acknowledging it."""

from __future__ import annotations

from backend.store import alerts, notices
from backend.store.session import read, transact
from tests.integration.api.harness import Api, data


def opened(api: Api, subject: str = "f") -> str:
    transact(
        api.engine,
        lambda session: alerts.open_alert(session, "alert_node_offline", subject, name="N", seconds=200),
    )
    found, _ = read(api.engine, alerts.list_alerts)
    return found[0].id


def test_open_alerts_are_listed_with_what_to_do(api: Api) -> None:
    opened(api)
    viewer = api.as_role("viewer")
    [one] = data(viewer.get("/api/v1/alerts"))["list"]
    assert one["message"].startswith("Node N has been silent for 200 s")
    assert (one["rule"], one["seen_count"], one["acknowledged_at"]) == ("alert_node_offline", 1, None)
    chinese = data(viewer.get("/api/v1/alerts", headers={"Accept-Language": "zh"}))["list"][0]
    assert chinese["message"].startswith("节点“N”已失联")


def test_alerts_are_filtered_by_state_and_rule(api: Api) -> None:
    opened(api, "a")
    opened(api, "b")
    transact(api.engine, lambda session: alerts.close_alerts(session, "a", "alert_node_offline"))
    viewer = api.as_role("viewer")

    def subjects(query: str) -> list[str]:
        return [one["subject"] for one in data(viewer.get(f"/api/v1/alerts?{query}"))["list"]]

    assert subjects("") == subjects("state=open") == ["b"]
    assert subjects("state=closed") == ["a"]
    assert subjects("state=all") == ["b", "a"]
    assert subjects("state=all&rule=alert_disk_low") == []
    assert subjects("state=acknowledged") == []


def test_an_operator_acknowledges_and_others_see_who_and_why(api: Api) -> None:
    alert_id = opened(api)
    answer = api.as_role("operator").post(f"/api/v1/alerts/{alert_id}/acknowledge", json={"note": "on it"})
    assert data(answer)["acknowledged_by"].startswith("operator")
    assert data(answer)["note"] == "on it"
    [one] = data(api.as_role("viewer").get("/api/v1/alerts?state=acknowledged"))["list"]
    assert one["acknowledged_at"] is not None
    assert api.as_role("operator").post(f"/api/v1/alerts/{alert_id}/acknowledge").status_code == 200


def test_what_is_closed_or_unknown_is_not_acknowledged(api: Api) -> None:
    alert_id = opened(api)
    transact(api.engine, lambda session: alerts.close_alerts(session, "f", "alert_node_offline"))
    operator = api.as_role("operator")
    assert operator.post(f"/api/v1/alerts/{alert_id}/acknowledge").status_code == 409
    assert operator.post("/api/v1/alerts/none/acknowledge").status_code == 404
    assert operator.get("/api/v1/alerts/none").status_code == 404


def test_one_alert_shows_who_was_told(api: Api) -> None:
    alert_id = opened(api)
    transact(api.engine, lambda session: notices.plan(session, ["bark:1"], 0.0))
    [waiting] = read(api.engine, lambda session: notices.due(session, ["bark:1"]))
    [mine] = transact(api.engine, lambda session: notices.claim(session, [waiting]))
    transact(api.engine, lambda session: notices.note_failed(session, mine, "http_status", "503", 60.0))
    one = data(api.as_role("viewer").get(f"/api/v1/alerts/{alert_id}"))
    [notice] = one["notices"]
    assert (notice["kind"], notice["receiver"], notice["attempts"]) == ("opened", "bark:1", 1)
    assert (notice["error_message"], one["failed_notices"], notice["sent_at"]) == ("503", 1, None)
