"""The journal is read as it is written, and means what v1's get_metrics means."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aml_provider.tracking.journal import metrics_of, read_events, read_new_events, with_numbers


def test_only_complete_lines_count(tmp_path: Path) -> None:
    journal = tmp_path / "events.jsonl"
    assert read_events(journal) == []
    assert read_new_events(journal, 0) == ([], 0)
    journal.write_bytes(b'{"type":"tag","key":"a","value":"1"}\n{"type":"ta')
    events, offset = read_new_events(journal, 0)
    assert [event["key"] for event in events] == ["a"]
    assert read_new_events(journal, offset) == ([], offset)
    with journal.open("ab") as file:
        file.write(b'g","key":"b","value":"2"}\n')
    events, offset = read_new_events(journal, offset)
    assert [event["key"] for event in events] == ["b"]
    assert offset == journal.stat().st_size


def test_a_line_that_is_no_event_is_skipped(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    journal = tmp_path / "events.jsonl"
    journal.write_bytes(b'\x00\x00garbage\n\n[1]\n{"type":"tag","key":"a","value":"1"}\n')
    with caplog.at_level(logging.WARNING):
        assert [event["key"] for event in read_events(journal)] == ["a"]
    assert "no event is skipped" in caplog.text


@given(st.lists(st.text(), max_size=8), st.integers(1, 4), st.data())
def test_reading_in_pieces_gives_the_whole(
    tmp_path_factory: pytest.TempPathFactory, values: list[str], limit: int, data: st.DataObject
) -> None:
    journal = tmp_path_factory.mktemp("j") / "events.jsonl"
    whole = "".join(json.dumps({"type": "tag", "key": value}) + "\n" for value in values).encode()
    seen: list[str] = []
    offset = written = 0
    while offset < len(whole):
        written = data.draw(st.integers(written, len(whole))) if written < len(whole) else written
        journal.write_bytes(whole[:written])
        events, offset = read_new_events(journal, offset, limit)
        seen += [event["key"] for event in events]
        written = max(written, offset)
        if written < len(whole):
            written += 1
    assert seen == values


def metric(name: str, kind: str, value: object, **facts: object) -> dict[str, object]:
    return {"type": "metric", "name": name, "kind": kind, "value": value, **facts}


def test_metrics_mean_what_v1_means() -> None:
    events = [
        metric("once", "scalar", 0.5),
        metric("often", "scalar", 1),
        metric("often", "scalar", 2),
        metric("list", "list", [1, 2]),
        metric("list", "list", [3]),
        metric("row", "row", {"x": 1, "y": "a"}),
        metric("row", "row", {"x": 2, "y": "b"}),
        metric("table", "table", {"x": [1, 2], "note": "t"}),
        metric("image", "image", "plots/a.png"),
        metric("bad", "scalar", "NaN"),
        metric("theirs", "scalar", 1, child="c1"),
        metric("pipeline's", "scalar", 1, to="parent"),
        {"type": "tag", "key": "once", "value": "x"},
    ]
    metrics = metrics_of(events)
    assert metrics == {
        "once": 0.5,
        "often": [1, 2],
        "list": [1, 2, 3],
        "row": {"x": [1, 2], "y": ["a", "b"]},
        "table": {"x": [1, 2], "note": "t"},
        "image": "plots/a.png",
        "bad": "NaN",
    }
    json.dumps(metrics, allow_nan=False)
    assert str(with_numbers(metrics)["bad"]) == "nan"
    assert with_numbers({"a": ["-Infinity", "text"]}) == {"a": [float("-inf"), "text"]}
