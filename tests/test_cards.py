"""Cards: what each must say, counts that come from the index alone, and the committed ones."""

import re
import shutil
from pathlib import Path

import pytest
import yaml

from repset.errors import DataError
from repset.params import load_source
from repset.project import Project
from repset.records import write_json, write_table
from repset.sources.cards import BEGIN, END, NOT_COUNTED, check_card, counts_block, gaps_of, sources_with_cards
from repset.sources.fetch import pull_source
from repset.sources.index import index_source

ROOT = Project(Path(__file__).resolve().parent.parent)
PARAMS = yaml.safe_load((ROOT.root / "params.yaml").read_text(encoding="utf-8"))["sample"]
CARD = """# mine

| | |
|---|---|
| Origin | here |
| Pull | `repset pull mine` |
| Licence | CC0 |
| Consent | given |

Some words.

## Known flaws
- None that is known.
"""
BLOCK = """| in the index | |
|---|---|
| samples | 1 images, 2 clips |
| groups | 2 |
| frames of clips | 1,200 |
| images stored | 601 |
| official split | none 1, train 2 |
| exercises | not named 1, squats 2 |
| masks | biceps 1, calf 1 |
| sets | squat 2 |
| sets and rests | 2 sets, 1 rests |
| repetitions counted in sets | 7 |
| repetitions with limits | 1 |
| verdicts | correct 1 |
| poses | 9 |
| left out: box without a polygon | 4 |
| faulty items skipped | 1 |"""


def card(project: Project, text: str = CARD) -> Path:
    (project.pipelines / "mine.yaml").write_text("family: folder\nrendered: false\norigin: in\n", encoding="utf-8")
    path = project.source("mine") / "README.md"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def small_index(project: Project) -> None:
    index = project.index("mine")
    samples = [
        dict(sample_id="mine/a", kind="clip", frames=600, group="p", official_split="train", exercise_native="squats"),
        dict(sample_id="mine/b", kind="clip", frames=600, group="p", official_split="train", exercise_native="squats"),
        dict(sample_id="mine/c", kind="image", frames=1, group="c"),
    ]
    tables = {
        "samples": samples,
        "masks": [dict(sample_id="mine/c", label="calf"), dict(sample_id="mine/c", label="biceps")],
        "sets": [dict(sample_id="mine/a", exercise=name, reps=n) for name, n in
                 (("squat", 3), ("none", 0), ("squat", 4))],
        "reps": [dict(sample_id="mine/a", complete=True)],
        "form": [dict(sample_id="mine/a", verdict="correct")],
    }  # fmt: skip
    for name, rows in tables.items():
        write_table(index / f"{name}.parquet", name, rows)
    counts = {"frames": 601, "poses": 9}
    report = {"counts": counts, "left_out": {"box without a polygon": 4}, "skipped": [{"item": "x", "reason": "y"}]}
    write_json(index / "report.json", report)


def test_the_counts_are_those_of_the_index(project: Project) -> None:
    card(project)
    small_index(project)
    assert counts_block(project, "mine") == BLOCK


def test_writing_puts_the_counts_before_the_first_heading_and_changes_nothing_else(project: Project) -> None:
    path = card(project)
    small_index(project)
    assert check_card(project, "mine").stale
    assert path.read_text() == CARD
    state = check_card(project, "mine", write=True)
    assert (state.stale, state.gaps) == (False, ())
    text = path.read_text()
    assert text == CARD.replace("Some words.\n", f"Some words.\n\n{BEGIN}\n{BLOCK}\n{END}\n")
    assert check_card(project, "mine", write=True).path.read_text() == text


def test_counts_that_were_changed_by_hand_are_stale_until_written_again(project: Project) -> None:
    path = card(project, CARD.replace("Some words.\n", f"Some words.\n\n{BEGIN}\n{BLOCK}\n{END}\n"))
    small_index(project)
    good = path.read_text()
    assert not check_card(project, "mine").stale
    path.write_text(good.replace("1,200", "1,300"))
    assert check_card(project, "mine").stale
    check_card(project, "mine", write=True)
    assert path.read_text() == good


def test_without_an_index_counts_stay_as_they_are(project: Project) -> None:
    path = card(project)
    check_card(project, "mine", write=True)
    assert NOT_COUNTED in path.read_text()
    path.write_text(path.read_text().replace(NOT_COUNTED, "| samples | 3 |"))
    assert check_card(project, "mine", write=True).stale is False
    assert "| samples | 3 |" in path.read_text()


def test_a_card_says_what_it_lacks() -> None:
    assert gaps_of(CARD.replace("| Licence | CC0 |\n", "").replace("| given |", "|  |")) == [
        "its licence, or that none is known",
        "whether the people in it agreed",
        "the counts block",
    ]


@pytest.mark.parametrize("block", [BEGIN, f"{BEGIN}\n{END}\n{BEGIN}\n{END}"])
def test_half_a_block_is_never_guessed_at(project: Project, block: str) -> None:
    path = card(project, CARD + block)
    with pytest.raises(DataError) as caught:
        check_card(project, "mine", write=True)
    assert str(caught.value) == (
        f"datasets/mine/README.md: expected one {BEGIN} and one {END}, found one of them alone, or one twice. "
        "Restore both."
    )
    assert path.read_text() == CARD + block


@pytest.mark.parametrize("source", sources_with_cards(ROOT))
def test_every_committed_card_is_whole(source: str) -> None:
    assert check_card(ROOT, source).gaps == ()


def committed(source: str) -> dict[str, str]:
    text = (ROOT.source(source) / "README.md").read_text(encoding="utf-8")
    return dict(re.findall(r"^\| ([^|]+) \| ([^|]+) \|$", text.split(BEGIN)[1].split(END)[0], re.M))


def test_committed_counts_of_the_sample_are_what_its_parameters_imply() -> None:
    assert committed("sample_roboflow")["samples"] == f"{PARAMS['roboflow_photos']} images"
    assert committed("sample_penn_action")["samples"] == f"{PARAMS['penn_clips']} clips"
    assert committed("sample_penn_action")["exercises"].split(", ") == [
        f"{name} {PARAMS['penn_clips'] // 9}"
        for name in ("bench_press", "clean_and_jerk", "jump_rope", "jumping_jacks", "pullup", "pushup", "situp",
                     "squat", "tennis_serve")
    ]  # fmt: skip
    mmfit = committed("sample_mmfit")
    assert mmfit["samples"] == f"{PARAMS['mmfit_workouts']} recordings of poses"
    assert mmfit["sets and rests"].startswith(f"{10 * PARAMS['mmfit_workouts']} sets, ")


@pytest.mark.real
@pytest.mark.parametrize("source", ["mmfit", "penn_action"])
def test_committed_counts_of_the_real_sets_are_those_of_the_label_files_at_hand(
    source: str, project: Project, shared_data: Path
) -> None:
    spec = load_source(project, source)
    origin = str(shared_data / source)
    pull_source(project, source, spec, origin, lambda folder: None, {}, False, lambda done, total: None)
    index_source(project, source, spec, shard_mb=256)
    shutil.copy(ROOT.source(source) / "README.md", project.source(source))
    assert not check_card(project, source).stale
