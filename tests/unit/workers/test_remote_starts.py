"""What a start of a remote node says of the one before, and credentials that change while it runs."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from backend.domain.errors import ConfigurationError
from backend.domain.wire import FullBeat, Heard, Piece
from backend.workers.credentials import CurrentPair
from backend.workers.identity import Identity, identity_of, recall, remember
from backend.workers.introduction import Introduction, this_machine
from backend.workers.parent import Pair
from backend.workers.remote import Remote
from config import load

URL = "https://parent.example"
KNOWN = identity_of(URL, Heard("node-1", name="Lyon", slug="lyon", protocol=2), "before", this_machine())


@pytest.fixture
def remote(tmp_path: Path) -> Remote:
    """A child's machine."""
    return Remote(
        load({"CASCADE_PARENT_URL": URL, "CASCADE_SECRET_KEY": "a key of tests"}, data_dir=tmp_path)
    )


def test_who_it_is_outlives_its_processes_for_this_parent_only(tmp_path: Path) -> None:
    remember(tmp_path, KNOWN)
    assert recall(tmp_path, URL) == KNOWN
    assert recall(tmp_path, "https://another.example") is None
    (tmp_path / "node.json").write_text("{")
    assert recall(tmp_path, URL) is None


def test_a_start_replaces_the_one_before_only_when_no_process_of_that_is_left(remote: Remote) -> None:
    assert remote.first_beat("now", KNOWN).replaces == "before"
    lock = remote.instances(KNOWN.node_id, "before").arrive()
    assert remote.first_beat("now", KNOWN).replaces == ""
    os.close(lock)
    assert remote.first_beat("now", KNOWN).replaces == "before"


@pytest.mark.parametrize("known", [None, replace(KNOWN, machine="another machine")], ids=["new", "copied"])
def test_a_new_child_and_a_copied_data_directory_replace_nobody(
    remote: Remote, known: Identity | None
) -> None:
    assert remote.first_beat("now", known).replaces == ""


def test_a_parent_that_has_got_another_address_hears_what_is_held_and_which_start_ended(
    remote: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[FullBeat] = []

    def answer(self: Introduction) -> Heard:
        heard.append(self.beat)
        return Heard("node-1", name="Lyon", slug="lyon", protocol=2)

    monkeypatch.setattr(Introduction, "wait_for_answer", answer)
    remember(remote.settings.data_dir, replace(KNOWN, parent_url="http://parent.example"))
    remote.journal().close_claim("", [Piece("claimed", 1, "update", "node:lyon")])
    assert remote.be_known("now").parent_url == URL
    assert [(beat.holds, beat.replaces) for beat in heard] == [(("claimed",), "before")]


def test_results_that_another_node_left_in_the_same_directory_are_told_of(
    remote: Remote, caplog: pytest.LogCaptureFixture
) -> None:
    for directory, name in (
        (KNOWN.node_id, "a.outcome"),
        (f"{KNOWN.node_id}.ticks", "a.outcome"),
        ("former", "a.outcome"),
        ("former", ".half.outcome"),
        ("empty", "dead"),
    ):
        path = remote.settings.outbox_dir / directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    heard = Heard(KNOWN.node_id, name="Lyon", slug="lyon", protocol=2)
    remote.keep(heard, "now")
    [alarm] = [message for message in caplog.messages if "ALARM" in message]
    assert f"results of another node (1) wait in {remote.settings.outbox_dir / 'former'}" in alarm


def test_changed_credentials_count_at_once_and_unusable_ones_change_nothing(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"

    def read() -> Pair:
        key, _, secret = file.read_text().partition(":")
        if not secret:
            raise ConfigurationError("bad_setting", name="api_secret", detail="half written")
        return Pair(key, secret)

    file.write_text("CN1:CS1")
    pair = CurrentPair(read, (file,))
    assert pair() == Pair("CN1", "CS1")
    file.write_text("CN2")
    assert pair() == Pair("CN1", "CS1")
    file.write_text("CN2:CS2")
    assert pair() == Pair("CN2", "CS2")
    assert "CS2" not in repr(pair)
