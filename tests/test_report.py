"""The report: complete without a network, the same bytes, honest about what is missing."""

import base64
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from repset.cli.report import command
from repset.landmarks import BLAZEPOSE_33, PENN_13, convert
from repset.params import load_profile, load_source
from repset.project import Project
from repset.records import canonical_json, pose_table, write_json, write_table
from repset.report.acceptance import acceptance
from repset.report.blocks import Table, bar, missing, number, words
from repset.report.build import build_report, write_report
from repset.report.facts import Source, track_of
from repset.report.scores import model_tables, score_tables
from repset.video import ShardWriter, encode_png

ROOT = Path(__file__).resolve().parent.parent
FRAMES, CLIP, PHOTO, WORKOUT = 12, "sample_penn_action/0001", "sample_roboflow/gym_0001_jpg", "sample_mmfit/w00"


class Page(HTMLParser):
    """Tags with their attributes, and the text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, *names: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.tags if tag in names]


def person(frames: int = FRAMES) -> np.ndarray[Any, Any]:
    """A squatting BlazePose figure, (T, 33, 2) pixels."""
    xy = np.tile(np.linspace([60, 20], [100, 40], 33), (frames, 1, 1)).astype(np.float32)
    down = 25 * np.sin(np.linspace(0, np.pi, frames))
    at = BLAZEPOSE_33.index
    for side, x in (("left", 95), ("right", 65)):
        xy[:, at(f"{side}_shoulder")] = np.stack([np.full(frames, x), 40 + down], 1)
        xy[:, at(f"{side}_hip")] = np.stack([np.full(frames, x), 70 + down], 1)
        xy[:, at(f"{side}_knee")] = np.stack([x + down, np.full(frames, 90)], 1)
        xy[:, at(f"{side}_ankle")] = np.stack([np.full(frames, x), np.full(frames, 110)], 1)
    return xy


def write_clip(project: Project) -> None:
    """A clip with truth, automatic labels, one repetition and a fault."""
    source, folder = "sample_penn_action", project.index("sample_penn_action")
    times, xy = np.arange(FRAMES) / 30, person()
    shards = ShardWriter(folder, 10**8)
    for t in range(FRAMES):
        image = np.full((120, 160, 3), 90 + t, np.uint8)
        shards.add(CLIP, t, "", f"{t:06d}.jpg", bytes(cv2.imencode(".jpg", image)[1]))
    shards.close()
    write_table(folder / "frames.parquet", "frames", shards.rows)
    row = dict(sample_id=CLIP, source=source, kind="clip", width=160, height=120, fps=30.0, frames=FRAMES, group="0001",
               official_split="train", exercise="squat", exercise_native="squat")  # fmt: skip
    write_table(folder / "samples.parquet", "samples", [row])
    given = convert(xy, "blazepose_33", "penn_13")
    size = (FRAMES, len(PENN_13.joints))
    poses = pose_table(CLIP, "penn_13", np.arange(FRAMES), times, given, np.ones(size), np.zeros(size), "dataset")
    write_table(folder / "poses.parquet", "poses", poses)
    for name in ("masks", "sets", "reps", "form"):
        write_table(folder / f"{name}.parquet", name, [])
    raw = [{"name": "Penn_Action.tar.gz", "bytes": 12, "sha256": "ab" * 32}]
    skipped = [{"item": "0002", "reason": "expected 13 joints, found <12>"}]
    report = {"counts": {"frames": FRAMES}, "raw": raw, "left_out": {"another action": 3}, "skipped": skipped}
    write_json(folder / "report.json", report)
    labels = project.labels(source)
    shape = (FRAMES, 33)
    found = pose_table(CLIP, "blazepose_33", np.arange(FRAMES), times, xy, np.ones(shape), np.zeros(shape), "mediapipe")
    write_table(labels / "poses.parquet", "poses", found)
    knees = [dict(sample_id=CLIP, frame=t, person=0, name="left_knee", value_deg=170.0 - 8 * t) for t in range(FRAMES)]
    write_table(labels / "angles.parquet", "angles", knees)
    rep = dict(sample_id=CLIP, person=0, set=0, rep=0, exercise="squat", start=0, turn=6, end=12, start_s=0.0,
               turn_s=0.2, end_s=0.4, complete=True, range_deg=80.0, origin="rule")  # fmt: skip
    write_table(labels / "reps.parquet", "reps", [rep])
    judged = dict(sample_id=CLIP, person=0, set=0, level="rep", rep=0, start=0, end=12, exercise="squat",
                  verdict="incorrect", signal="knee", value_deg=110.0, high_deg=95.0, message="Go deeper.",
                  origin="rule")  # fmt: skip
    write_table(labels / "form.parquet", "form", [judged])
    write_json(labels / "report.json", {"status": {"ok": 1, "no_person": 2}, "errors": []})


def write_photo(project: Project) -> None:
    """A photo with a mask, and the bootstrap model's proposal for it."""
    folder = project.index("sample_roboflow")
    shards = ShardWriter(folder, 10**8)
    shards.add(PHOTO, 0, "aa", "a.jpg", bytes(cv2.imencode(".jpg", np.full((64, 64, 3), 99, np.uint8))[1]))
    shards.close()
    write_table(folder / "frames.parquet", "frames", shards.rows)
    row = dict(
        sample_id=PHOTO, source="sample_roboflow", kind="image", width=64, height=64, frames=1, group="gym_0001_jpg"
    )
    write_table(folder / "samples.parquet", "samples", [row])
    mask = np.zeros((64, 64), np.uint8)
    mask[20:40, 20:40] = 255
    png = encode_png(mask)
    masked = dict(sample_id=PHOTO, variant="aa", person=0, label="biceps", png=png, origin="dataset")
    write_table(folder / "masks.parquet", "masks", [masked])
    proposal = dict(sample_id=PHOTO, task="muscle_mask", blob=png, origin="model",
                    target=canonical_json({"class": "biceps", "person": 0, "variant": "aa"}))  # fmt: skip
    write_table(project.proposals("muscle_mask", "sample_roboflow") / "table.parquet", "proposals", [proposal])


def write_workout(project: Project) -> None:
    """A workout of poses alone."""
    folder = project.index("sample_mmfit")
    row = dict(sample_id=WORKOUT, source="sample_mmfit", kind="poses", fps=30.0, frames=FRAMES, group="w00")
    write_table(folder / "samples.parquet", "samples", [row])
    xy = convert(person(), "blazepose_33", "coco_18")
    size = (FRAMES, 18)
    times = np.arange(FRAMES) / 30
    poses = pose_table(
        WORKOUT, "coco_18", np.arange(FRAMES), times, xy, np.ones(size), np.zeros(size), "dataset_estimate"
    )
    write_table(folder / "poses.parquet", "poses", poses)
    stretch = dict(sample_id=WORKOUT, set=0, start=0, end=FRAMES, exercise="squat", reps=10, origin="dataset")
    write_table(folder / "sets.parquet", "sets", [stretch])


def write_scores(project: Project) -> None:
    """Everything that later stages write."""
    iou = {"background": 0.9, "biceps": 0.5, "calf": None}
    baseline = {"answer": "background everywhere", "miou": 0.3}
    metrics = {"n": 4, "miou": 0.625, "iou": iou, "baseline": baseline}
    home = project.model("segmentation")
    write_json(home / "metrics.json", {"bootstrap": {**metrics, "miou": 0.5}, "final": metrics})
    (home / "plots").mkdir()
    cells = (
        "truth,predicted,pixels\nbackground,background,90\nbackground,biceps,1\nbiceps,background,2\nbiceps,biceps,7\n"
    )
    (home / "plots" / "confusion_final.csv").write_text(cells, encoding="utf-8")
    curve = "training,epoch,train/loss\nbootstrap,0,0.9\nbootstrap,1,0.7\nfinal,0,0.8\n"
    (home / "plots" / "curve_train_loss.csv").write_text(curve, encoding="utf-8")
    write_json(
        project.labeller_scores("sample_penn_action"), {"pose": {"overall": {"pck_torso_0.1": 0.91}}, "reps": None}
    )
    folds = {fold: {"groups": n, "samples": n, "classes": {}} for fold, n in (("train", 1), ("test", 0))}
    proof = {"groups": 1, "folds": folds, "groups_shared_between_folds": 0, "identical_images_shared_between_folds": 0}
    write_json(project.split("sample_penn_action") / "proof.json", proof)
    curated = {"tiers": {"gold": 3, "auto": 1}, "folds": {"train": 4}, "agreement": {"compared": 4, "equal": 3},
               "decisions": {"read": 2, "stale": [], "conflicts": []}, "left_out": {"no pose": 1}}  # fmt: skip
    write_json(project.curated("exercise", "sample_penn_action") / "report.json", curated)


def write_acceptance(project: Project) -> None:
    """Reports of the stage accept: some taken, some not, one source with nothing to take."""
    promise = {"max_error": 0.05, "confidence": 0.95, "audit": None}
    pool = {"classes": ["biceps"], "groups": 110, "groups_missing": 0, "groups_needed": 59, "threshold": 0.91,
            "bound": 0.0412, "candidates": 40, "accepted": 10, "held_out": {"items": 20, "wrong": 1}}  # fmt: skip
    closed = {**pool, "classes": ["calf"], "threshold": None, "bound": None, "accepted": 0,
              "held_out": {"items": 0, "wrong": 0}}  # fmt: skip
    masks = {**promise, "items": 90, "candidates": 80, "pools": [pool, closed]}
    write_json(project.accepted("muscle_mask", "sample_roboflow") / "report.json", masks)
    audit = {**promise, "items": 7, "candidates": 7, "pools": [], "audit": {"wanted": 60, "drawn": 7, "judged": 3}}
    write_json(project.accepted("exercise", "sample_penn_action") / "report.json", audit)
    few = {**pool, "groups": 1, "groups_missing": 58, "threshold": None, "bound": None, "accepted": 0}
    nothing = {**pool, "groups": 60, "candidates": 0, "accepted": 0}
    labelled = {**promise, "items": 6, "candidates": 0, "pools": [nothing]}
    write_json(project.accepted("exercise", "sample_mmfit") / "report.json", labelled)
    for name in ("sample_roboflow", "sample_penn_action"):
        empty = {**promise, "items": 0, "candidates": 0, "pools": []}
        write_json(project.accepted("count", name) / "report.json", empty)
    write_json(project.accepted("count", "sample_mmfit") / "report.json", {**labelled, "candidates": 9, "pools": [few]})


def tiny(folder: Path) -> Project:
    """A tiny project in which most stages have run."""
    shutil.copytree(ROOT / "pipelines", folder / "pipelines")
    for name in ("dvc.yaml", "params.yaml"):
        shutil.copy(ROOT / name, folder / name)
    made = Project(folder)
    for write in (write_clip, write_photo, write_workout, write_scores, write_acceptance):
        write(made)
    return made


@pytest.fixture
def full(tmp_path: Path) -> Project:
    """A tiny project to be changed."""
    return tiny(tmp_path)


@pytest.fixture(scope="module")
def html(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page of a tiny project."""
    return build_report(tiny(tmp_path_factory.mktemp("tiny")))


def test_an_empty_project_names_the_commands_that_come_next(project: Project) -> None:
    page = Page(build_report(project))
    commands = [line for line in re.findall(r"dvc repro[\w@ -]*", page.text)]
    assert commands == [
        "dvc repro index", "dvc repro index", "dvc repro autolabel", "dvc repro curate",
        "dvc repro curate_form", "dvc repro evaluate_labels", "dvc repro accept", "dvc repro accept_count",
        "dvc repro check", "dvc repro split", "dvc repro",
        "dvc repro evaluate@segmentation", "dvc repro evaluate@exercise",
    ]  # fmt: skip
    assert "sample_roboflow, sample_penn_action and sample_mmfit have not been read yet." in page.text


def test_the_page_is_the_same_bytes_in_another_folder(html: str, full: Project) -> None:
    assert write_report(full, full.root / "r.html").read_text(encoding="utf-8") == html
    assert str(full.root) not in html


def test_every_picture_says_what_it_shows(html: str) -> None:
    page = Page(html)
    assert len(page.all("img")) >= 8
    assert all(len(image["alt"] or "") > 10 for image in page.all("img"))
    assert [bool(film["aria-label"]) for film in page.all("video")] == [True]


def test_nothing_is_fetched_from_anywhere(html: str) -> None:
    page = Page(html)
    for _, attributes in page.tags:
        for name in ("src", "href", "poster", "srcset", "data"):
            value = attributes.get(name) or "#"
            assert value.startswith(("data:", "#")), value[:80]
    assert "url(" not in html
    assert "@import" not in html
    assert page.all("script", "link", "iframe") == []
    assert "default-src 'none'" in html


def test_the_film_is_h264_that_browsers_play(html: str, tmp_path: Path) -> None:
    film = Page(html).all("video")[0]
    assert film["src"] is not None
    path = tmp_path / "film.mp4"
    path.write_bytes(base64.b64decode(film["src"].removeprefix("data:video/mp4;base64,")))
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert sum(1 for _ in container.decode(stream)) == FRAMES
    assert "loop" in film
    assert "muted" in film


def test_scores_stand_beside_their_baseline_and_absent_classes_are_a_dash(html: str) -> None:
    text = re.sub(r"\s+", " ", Page(html).text)
    assert "Baseline: background everywhere." in text
    tables = {
        table.caption: table
        for table in model_tables({"miou": 0.5}, {"miou": 0.625, "iou": {"calf": None, "a": 0.5}}, [])
    }
    assert tables["overall"].rows == [["mIoU", "–", "0.500", "0.625"]]
    assert tables["overall, by class"].rows == [["calf", "–", "–"], ["a", "–", "0.500"]]


def test_scores_by_source_are_named_so() -> None:
    (table,) = model_tables({}, {"by_source": {"sample_mmfit": 0.5}}, ["sample_mmfit"])
    assert table.caption == "overall, by source"


def test_the_labellers_scores_say_what_there_is_no_truth_for(html: str) -> None:
    text = Page(html).text
    assert "0.910" in text
    assert "No truth to compare with: reps." in text


def test_what_was_taken_over_stands_with_its_bound_and_the_error_found(full: Project) -> None:
    sources = [Source(full, name, load_source(full, name)) for name in load_profile(full).sources]
    section = acceptance(full, load_profile(full), sources)
    (table,) = section.blocks
    assert table.note == "Promised: at most 5% wrong, at 95% confidence."
    assert table.rows == [
        ["muscle mask: sample_roboflow (biceps)", "110", "0.910", "0.041", "1 of 20", "10 of 40", "0.250", ""],
        ["muscle mask: sample_roboflow (calf)", "110", "–", "–", "–", "0 of 40", "0.000",
         "no score keeps the error low enough"],
        ["exercise: sample_penn_action", "0", "–", "–", "–", "0 of 7", "–",
         "no truth yet: 3 of 60 of the audit are judged"],
        ["exercise: sample_mmfit", "60", "0.910", "0.041", "1 of 20", "0 of 0", "–",
         "every sample to train on has a label already"],
        ["count: sample_mmfit", "1", "–", "–", "1 of 20", "0 of 40", "0.000",
         "58 of 59 groups of known truth are missing"],
    ]  # fmt: skip


def test_what_was_left_out_is_counted_with_its_reason(html: str) -> None:
    for words_ in ("another action", "not labelled: no person", "no pose", "expected 13 joints, found &lt;12&gt;"):
        assert words_ in html


def test_rendered_material_says_so(html: str, full: Project) -> None:
    assert html.count("rendered sample") > 5
    real = full.pipelines / "sample_penn_action.yaml"
    real.write_text(real.read_text(encoding="utf-8").replace("rendered: true", "rendered: false"), encoding="utf-8")
    assert "None of them says how well anything works on people" not in build_report(full)


def test_a_page_of_a_damaged_table_names_it(full: Project) -> None:
    (full.labels("sample_penn_action") / "reps.parquet").write_bytes(b"PAR1")
    done = CliRunner().invoke(command, ["--out", str(full.root / "r.html")], env={"REPSET_ROOT": str(full.root)})
    assert type(done.exception).__name__ == "DataError"
    assert "reps.parquet: expected the table reps (Parquet), found" in str(done.exception)
    assert not (full.root / "r.html").exists()


def test_the_command_writes_the_page(full: Project) -> None:
    done = CliRunner().invoke(command, ["--out", str(full.root / "r.html")], env={"REPSET_ROOT": str(full.root)})
    assert done.exit_code == 0, done.output
    assert (full.root / "r.html").stat().st_size < 8_000_000


def test_frames_without_a_pose_are_unknown_and_keep_their_time() -> None:
    def row(frame: int) -> dict[str, Any]:
        values = {"x_px": [5.0] * 13, "y_px": [6.0] * 13, "visibility": [1.0] * 13}
        return {"skeleton": "penn_13", "frame": frame, "time_s": frame / 10, **values}

    track = track_of([row(4), row(2)], 100, 80)
    assert track is not None
    assert track.time_s.tolist() == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4])
    assert np.isnan(track.xy_px[[0, 1, 3]]).all()
    assert track.xy_px[4, 0].tolist() == [5.0, 6.0]
    assert track_of([], 100, 80) is None


def test_scores_become_a_table_with_a_row_a_thing() -> None:
    scores = {
        "frames": 3,
        "knee": {"mean": 1.5, "n": 3},
        "elbow": {"mean": None, "n": 0},
        "per_view": {"side": {"n": 2}},
    }
    (path, table), (deeper, _) = score_tables(scores, ("angle_error_deg",))
    assert (path, deeper) == (("angle_error_deg",), ("angle_error_deg", "per_view"))
    assert (table.caption, table.note) == ("angle error (°)", "frames: 3")
    assert list(table.head) == ["", "mean", "n"]
    assert table.rows == [["knee", "1.5", "3"], ["elbow", "–", "0"]]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (True, "yes"),
        (12345, "12,345"),
        (0.12345, "0.123"),
        (12.345, "12.3"),
        (12345.6, "12,346"),
        ("a", "a"),
    ],
)
def test_numbers_are_written_as_readers_want_them(value: Any, text: str) -> None:
    assert number(value) == text


def test_words_of_the_field_are_spelled_as_usual() -> None:
    assert words("miou_muscles") == "mIoU muscles"


def test_numbers_align_right_and_words_left() -> None:
    assert Table("t", ("a", "b"), [["x", "1,200"], ["y", "–"]]).numeric == [False, True]


def test_a_bar_leaves_out_what_is_zero() -> None:
    made = bar("poses", {"dataset": 3, "human": 0, "mediapipe": 1}, {"dataset": "#009E73"})
    assert [(part.name, part.percent) for part in made.parts] == [("dataset", 75.0), ("mediapipe", 25.0)]
    assert made.spoken == "poses: 3 dataset, 1 mediapipe"


def test_one_missing_thing_is_named_with_its_own_command() -> None:
    (block,) = missing(["sample_mmfit"], "split", "been split")
    assert (block.text, block.command) == ("sample_mmfit has not been split yet.", "dvc repro split@sample_mmfit")
    assert missing([], "split", "been split") == []


def test_importing_the_command_is_light() -> None:
    code = "import sys, repset.cli.report; print({'matplotlib', 'cv2', 'pyarrow', 'torch'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
