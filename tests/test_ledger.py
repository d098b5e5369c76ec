"""The ledger: what is written comes back, nothing torn or changed is read, rounds hold still."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from repset.cli import cli
from repset.curate.audit import stats, verify
from repset.curate.decision import Decision, Proposal, content_id
from repset.curate.ledger import Ledger
from repset.curate.rounds import close_round
from repset.errors import ConfigError, DataError
from repset.project import Project
from repset.records import canonical_json, sha256_bytes

SLOW_MACHINE = [HealthCheck.too_slow]  # how fast a machine draws examples says nothing about the code
PNG = bytes(cv2.imencode(".png", np.full((3, 4), 255, np.uint8))[1])
SHOWN = Proposal("rule", "r" * 8, None)
NEW = Decision(
    "anna", "rep_bench", "gym/a", "form", {"interval_s": [1.0, 2.5], "person": 0}, "new", "correct",
    at="2026-11-21T10:00:00Z",
)  # fmt: skip
LATER = "2026-11-22T10:00:00Z"
MASK = Decision(
    "bo", "label_studio", "photos/a", "muscle_mask", {"class": "biceps", "person": 0, "variant": "v"}, "edit", png=PNG,
    proposal=Proposal("model", "m", "h"), seconds=12.5, media_sha256="0" * 64, at="2026-12-01T00:00:00.000001Z",
)  # fmt: skip


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "reviews")


def test_a_line_has_the_fields_of_the_contract_and_nothing_else(ledger: Ledger) -> None:
    stored = ledger.append(MASK)
    line = json.loads((ledger.folder / "bo-2026-12.jsonl").read_text(encoding="utf-8"))
    assert line == {
        "v": 1, "id": stored.id, "at": "2026-12-01T00:00:00.000001Z", "reviewer": "bo", "tool": "label_studio",
        "sample_id": "photos/a", "media_sha256": "0" * 64, "task": "muscle_mask",
        "target": {"class": "biceps", "person": 0, "variant": "v"}, "action": "edit", "value": None,
        "blob": sha256_bytes(PNG), "proposal": {"origin": "model", "origin_hash": "m", "value_hash": "h"},
        "seconds": 12.5, "supersedes": None, "probe": False,
    }  # fmt: skip
    assert (ledger.folder / "blobs" / f"{sha256_bytes(PNG)}.png").read_bytes() == PNG


def test_the_id_is_the_hash_of_the_rest_of_the_line(ledger: Ledger) -> None:
    ledger.append(NEW)
    line = json.loads((ledger.folder / "anna-2026-11.jsonl").read_text(encoding="utf-8"))
    text = json.dumps({k: v for k, v in line.items() if k != "id"}, sort_keys=True, separators=(",", ":"))
    assert line["id"] == sha256_bytes(text.encode())[:32]


def test_append_stamps_the_time_and_names_the_file_after_it(ledger: Ledger) -> None:
    stored = ledger.append(replace(NEW, at=""))
    assert stored.at.endswith("Z")
    assert [path.name for path in ledger.folder.glob("*.jsonl")] == [f"anna-{stored.at[:7]}.jsonl"]
    assert ledger.read() == [stored]


names = st.text("abcxyz0189_", min_size=1, max_size=8)
intervals = st.tuples(st.floats(0, 100), st.floats(0.1, 50)).map(lambda p: [p[0], p[0] + p[1]])
shown = st.builds(
    Proposal, st.sampled_from(["dataset", "rule", "model", "human"]), st.none() | names, st.none() | names
)
times = st.datetimes(datetime(2000, 1, 1), datetime(2099, 12, 31)).map(lambda t: t.isoformat() + "Z")


@st.composite
def decisions(draw: st.DrawFn) -> Decision:
    action = draw(st.sampled_from(["accept", "edit", "reject", "new"]))
    common: dict[str, Any] = {
        "reviewer": draw(names.filter(lambda name: name[0] != "_")), "tool": draw(names), "action": action,
        "sample_id": f"s/{draw(st.text(min_size=1).filter(str.isprintable))}", "at": draw(times),
        "proposal": None if action == "new" else draw(shown), "probe": draw(st.booleans()),
        "seconds": draw(st.none() | st.floats(0, 1e4)),
    }  # fmt: skip
    person = draw(st.integers(0, 3))
    if draw(st.booleans()):
        size = draw(st.tuples(st.integers(1, 20), st.integers(1, 20)))
        image = np.random.default_rng(draw(st.integers(0, 99))).integers(0, 2, size).astype(np.uint8) * 255
        target = {"class": draw(names), "person": person, "variant": draw(names | st.just(""))}
        return Decision(**common, task="muscle_mask", target=target, png=bytes(cv2.imencode(".png", image)[1]))
    target = {"interval_s": draw(intervals), "person": person}
    return Decision(**common, task="form", target=target, value=draw(st.sampled_from(["correct", "unscorable"])))


@given(st.lists(decisions(), max_size=6))
@settings(max_examples=40, deadline=None, suppress_health_check=SLOW_MACHINE)
def test_what_is_written_comes_back_equal_each_once_in_order_of_time(
    tmp_path_factory: pytest.TempPathFactory, written: list[Decision]
) -> None:
    ledger = Ledger(tmp_path_factory.mktemp("reviews"))
    for decision in [*written, *written[:2]]:
        ledger.append(decision)
    expected = sorted({d.id: d for d in written}.values(), key=lambda d: (d.time, d.id))
    assert ledger.read() == expected
    assert verify(ledger).faults == []


def changed(change: Callable[[dict[str, Any]], Any], seal: bool = True) -> bytes:
    """NEW's line after a change, with a fitting id unless seal is False."""
    fields = json.loads(NEW.line())
    change(fields)
    if seal:
        fields["id"] = content_id(fields)
    return (canonical_json(fields) + "\n").encode()


GOOD = changed(lambda f: None)
ID, OTHER_ID = (json.loads(line)["id"] for line in (GOOD, changed(lambda f: f.update(tool="other"))))


@pytest.mark.parametrize(
    ("data", "line", "expected", "found"),
    [
        (GOOD[:-1], 1, "a line that ends in a newline", "a torn line"),
        (GOOD + GOOD[:40], 2, "a line that ends in a newline", "a torn line"),
        (GOOD + GOOD[:40] + GOOD, 2, "one JSON object", "text that does not parse (Expecting ',' delimiter)"),
        (b"\n" + GOOD, 1, "one JSON object", "text that does not parse (Expecting value)"),
        (b"[]\n", 1, "one JSON object", "list"),
        (b"\xff\n", 1, "UTF-8 text", "other bytes"),
        (changed(lambda f: f.pop("tool")), 1, f"the fields {' '.join(json.loads(GOOD).keys())}", "a missing tool"),
        (changed(lambda f: f.update(mood=1)), 1, f"the fields {' '.join(json.loads(GOOD).keys())}", "an unknown mood"),
        (changed(lambda f: f.update(v=2)), 1, "v: 1", "2"),
        (changed(lambda f: f.update(at="2026-11-21 10:00")), 1, "at: a UTC time such as 2026-11-21T10:00:00Z",
         '"2026-11-21 10:00"'),
        (changed(lambda f: f.update(action="maybe")), 1, "action: one of accept, edit, reject, new, nothing, undo",
         '"maybe"'),
        (changed(lambda f: f.update(value="good")), 1, "value: one of correct, incorrect, unscorable", '"good"'),
        (changed(lambda f: f.update(value=None)), 1, "value: one of correct, incorrect, unscorable", "null"),
        (changed(lambda f: f.update(action="accept")), 1,
         "proposal: null for new, nothing and undo, else the label shown", "null"),
        (changed(lambda f: f["target"].update(interval_s=[2, 1])), 1,
         "target: interval_s ([start, end] in seconds) and person", '{"interval_s": [2, 1], "person": 0}'),
        (changed(lambda f: f.update(blob="0" * 64)), 1, "blob: a mask for muscle_mask, else null", f'"{"0" * 64}"'),
        (changed(lambda f: f.update(supersedes="0" * 32)), 1, "the id of a decision in supersedes",
         f"{'0' * 32}, which no file has"),
        (changed(lambda f: f.update(tool="other"), seal=False), 1, f"the id {OTHER_ID} of this content", ID),
        (changed(lambda f: f.update(reviewer="bo")), 1, "only lines of anna-2026-11.jsonl",
         "a line of bo-2026-11.jsonl"),
        (GOOD.replace(b'"seconds":null', b'"seconds":NaN'), 1, "one JSON object",
         "text that does not parse (NaN is no JSON number)"),
    ],
)  # fmt: skip
def test_an_invalid_line_is_an_error_that_names_file_and_line(
    ledger: Ledger, data: bytes, line: int, expected: str, found: str
) -> None:
    ledger.folder.mkdir()
    path = ledger.folder / "anna-2026-11.jsonl"
    path.write_bytes(data)
    with pytest.raises(DataError) as caught:
        ledger.read()
    assert caught.value.where == f"{path}:{line}"
    assert caught.value.found == found
    if expected.startswith("the fields"):
        assert set(caught.value.expected.split()[2:]) == set(expected.split()[2:])
    else:
        assert caught.value.expected.startswith(expected)
    assert verify(ledger).faults == [str(caught.value)]


def test_the_whole_sentence_of_a_torn_line(ledger: Ledger) -> None:
    ledger.folder.mkdir()
    path = ledger.folder / "anna-2026-11.jsonl"
    path.write_bytes(GOOD + b'{"v":1')
    sentence = "expected a line that ends in a newline, found a torn line. Restore the line from git."
    with pytest.raises(DataError) as caught:
        ledger.read()
    assert str(caught.value) == f"{path}:2: {sentence}"
    with pytest.raises(DataError) as refused:  # nothing is welded to it
        ledger.append(NEW)
    assert (
        str(refused.value)
        == f"{path}: expected a last line that ends in a newline, found a torn line. Restore the line from git."
    )
    assert path.read_bytes() == GOOD + b'{"v":1'


def test_a_missing_or_changed_mask_is_an_error(ledger: Ledger) -> None:
    blob = ledger.blob_path(ledger.append(MASK).blob or "")
    blob.write_bytes(b"other")
    with pytest.raises(DataError) as caught:
        ledger.read()
    assert (
        str(caught.value) == f"{blob}: expected a mask with the hash in its name, found another. Restore it from git."
    )
    blob.unlink()
    with pytest.raises(DataError) as caught:
        ledger.read()
    where = ledger.folder / "bo-2026-12.jsonl"
    assert (
        str(caught.value) == f"{where}:1: expected the mask {blob.name} in blobs/, found no file. Restore it from git."
    )


def test_an_invalid_decision_is_refused_before_anything_is_written(ledger: Ledger) -> None:
    with pytest.raises(DataError) as caught:
        ledger.append(replace(NEW, value="splendid"))
    assert str(caught.value) == (
        f"{ledger.folder / 'anna-2026-11.jsonl'}: expected value: one of correct, incorrect, unscorable, "
        'found "splendid". Mend the decision; nothing was written.'
    )
    assert not ledger.folder.exists()


# A program of its own: a spawned process could not import this file, since a dependency installs a `tests` package.
WRITE_MANY = """
import sys
from pathlib import Path
from repset.curate.decision import Decision
from repset.curate.ledger import Ledger

ledger, writer = Ledger(Path(sys.argv[1])), int(sys.argv[2])
for number in range(60):
    target = {"interval_s": [float(number), number + 1.0], "person": writer}
    tool = "x" * (1 + 997 * (number % 9))
    ledger.append(Decision("anna", tool, "gym/a", "form", target, "new", "correct", at="2026-11-21T10:00:00Z"))
"""


def test_concurrent_writers_tear_no_line(ledger: Ledger) -> None:
    commands = [[sys.executable, "-c", WRITE_MANY, str(ledger.folder), str(writer)] for writer in range(2)]
    processes = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for command in commands]
    assert [(process.communicate()[1], process.returncode) for process in processes] == [("", 0), ("", 0)]
    assert len(ledger.read()) == 120


def test_an_undo_must_name_a_decision_on_the_same_sample_and_task(ledger: Ledger) -> None:
    first = ledger.append(NEW)
    ledger.append(replace(NEW, sample_id="gym/b", action="undo", value=None, supersedes=first.id, at=LATER))
    with pytest.raises(DataError) as caught:
        ledger.read()
    assert str(caught.value) == (
        f"{ledger.folder / 'anna-2026-11.jsonl'}:2: expected a decision on form of gym/b in supersedes, "
        "found one on form of gym/a. Restore the line from git."
    )


def test_a_round_is_closed_once_and_holds_still_when_the_ledger_grows(ledger: Ledger) -> None:
    first = ledger.append(NEW)
    closed = close_round(ledger, "first")
    ledger.append(replace(NEW, at=LATER))
    ledger.append(MASK)
    assert (closed.files, closed.lines) == (1, 1)
    assert json.loads(closed.path.read_text(encoding="utf-8")) == {
        "round": "first",
        "files": {"anna-2026-11.jsonl": {"bytes": len(GOOD), "lines": 1, "sha256": sha256_bytes(GOOD)}},
    }
    assert ledger.read("first") == [first]
    assert len(ledger.read()) == 3
    before = closed.path.read_bytes()
    with pytest.raises(DataError) as caught:
        close_round(ledger, "first")
    assert str(caught.value) == (
        f"{closed.path}: expected a round that is still open, found a closed one. "
        "Close the next round under another name."
    )
    assert closed.path.read_bytes() == before
    assert [path.name for path in closed.path.parent.iterdir()] == ["first.json"]


def test_a_round_whose_lines_were_changed_is_an_error(ledger: Ledger) -> None:
    ledger.append(NEW)
    close_round(ledger, "first")
    path = ledger.folder / "anna-2026-11.jsonl"
    path.write_bytes(changed(lambda f: f.update(tool="bench_tool")))
    with pytest.raises(DataError) as caught:
        ledger.read("first")
    assert str(caught.value) == (
        f"{path}: expected the first {len(GOOD)} bytes as they were when round first was closed, found others. "
        "Restore the file from git."
    )
    assert verify(ledger).faults == [str(caught.value)]


def test_an_unknown_round_names_the_closed_ones(ledger: Ledger) -> None:
    close_round(ledger, "first")
    with pytest.raises(DataError) as caught:
        ledger.read("second")
    assert str(caught.value) == (
        f"{ledger.round_path('second')}: expected a closed round, found no file. "
        "Close it (repset round close second) or name a closed one (first)."
    )


def test_a_round_needs_a_file_name(ledger: Ledger) -> None:
    with pytest.raises(ConfigError) as caught:
        close_round(ledger, "../x")
    assert str(caught.value) == "../x: expected a round's name of a-z 0-9 _ . -, found '../x'. Choose such a name."


def test_stats_count_per_reviewer_and_task(ledger: Ledger) -> None:
    first = ledger.append(replace(NEW, seconds=2.0))
    ledger.append(replace(NEW, sample_id="gym/b", action="accept", proposal=SHOWN, seconds=4.0, probe=True))
    ledger.append(replace(first, action="undo", value=None, supersedes=first.id, seconds=None, at=LATER))
    ledger.append(MASK)
    anna, bo = stats(ledger.read())
    assert (anna.reviewer, anna.task, anna.undone, anna.probes) == ("anna", "form", 1, 1)
    assert (anna.samples, anna.median_s) == (2, 3.0)
    assert anna.actions == {"accept": 1, "edit": 0, "reject": 0, "new": 1, "nothing": 0, "undo": 1}
    assert (bo.reviewer, bo.task, bo.median_s) == ("bo", "muscle_mask", 12.5)


def test_a_mask_that_no_line_names_is_remarked_not_a_fault(ledger: Ledger) -> None:
    ledger.append(NEW)
    stray = ledger.blob_path("0" * 64)
    stray.parent.mkdir()
    stray.write_bytes(PNG)
    audit = verify(ledger)
    assert audit.faults == []
    assert audit.remarks == [f"{stray}: no decision names this mask."]


def test_branches_of_one_reviewer_join_in_git_without_a_conflict(ledger: Ledger, tmp_path: Path) -> None:
    def git(*words: str) -> None:
        identity = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "init.defaultBranch=main"]
        subprocess.run(["git", *identity, *words], cwd=tmp_path, check=True, capture_output=True)

    rules = Path(__file__).parent.parent / "datasets" / "reviews" / ".gitattributes"
    git("init", ".")
    ledger.append(NEW)
    (ledger.folder / ".gitattributes").write_bytes(rules.read_bytes())
    git("add", ".")
    git("commit", "-m", "base")
    git("checkout", "-b", "branch")
    ledger.append(replace(NEW, tool="theirs"))
    git("commit", "-am", "theirs")
    git("checkout", "main")
    ledger.append(replace(NEW, tool="ours"))
    git("commit", "-am", "ours")
    git("merge", "branch")
    assert {decision.tool for decision in ledger.read()} == {"rep_bench", "theirs", "ours"}


def test_the_commands_close_a_round_count_and_verify(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REPSET_ROOT", str(project.root))
    run = CliRunner()
    assert "The ledger is empty" in run.invoke(cli, ["ledger", "stats"]).output
    Ledger(project.reviews).append(NEW)
    assert "anna" in run.invoke(cli, ["ledger", "stats"]).output
    closed = run.invoke(cli, ["round", "close", "first"]).output
    assert closed.startswith(f"1 lines in 1 files; written: {project.reviews / 'rounds' / 'first.json'}")
    fine = run.invoke(cli, ["ledger", "verify"])
    assert (fine.exit_code, fine.output) == (0, "1 files, 1 lines, 0 masks, 1 rounds: all as they were written\n")
    (project.reviews / "anna-2026-11.jsonl").write_bytes(GOOD[:-1])
    torn = run.invoke(cli, ["ledger", "verify"])
    assert torn.exit_code == 1
    assert "1 files, 1 lines, 0 masks, 1 rounds: 2 faults" in torn.output


def test_the_ledger_imports_no_heavy_library() -> None:
    code = (
        "import sys; import repset.curate.ledger; print({'torch', 'mediapipe', 'cv2', 'fiftyone'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
