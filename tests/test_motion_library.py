"""The motions that are only projected: whole bodies, names of the ontology, workouts that the reader understands."""

import importlib.util
import itertools
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from repset.exercises import NAMES
from repset.landmarks import COCO_18, PENN_13
from repset.sample.variants import BODY_RANGE, VARIANTS, perform_variant
from repset.sources.mmfit import parse_labels


@pytest.fixture(scope="module")
def library() -> ModuleType:
    path = Path(__file__).parent.parent / "tools" / "motion_library.py"
    spec = importlib.util.spec_from_file_location("motion_library", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("number", range(len(VARIANTS)))
def test_a_variant_is_a_whole_body_that_keeps_its_bones(number: int) -> None:
    variant, rng = VARIANTS[number], np.random.default_rng(number)
    assert variant.exercise in (*NAMES, "")
    for _ in range(4):
        course, solved, name = perform_variant(variant, rng, 2)
        joints = solved.joints(PENN_13.name)
        assert joints.shape == (course.frames, 13, 3)
        assert np.isfinite(joints).all()
        assert name in (variant.exercise, "")
        for a, b, length in (("elbow", "wrist", 0.25), ("shoulder", "elbow", 0.285)):
            bone = joints[:, PENN_13.index(f"left_{a}")] - joints[:, PENN_13.index(f"left_{b}")]
            np.testing.assert_allclose(np.linalg.norm(bone, axis=-1), length, atol=0.02)
        shank = joints[:, PENN_13.index("right_knee")] - joints[:, PENN_13.index("right_ankle")]
        low, high = BODY_RANGE["legs"]
        assert 0.415 * low - 0.01 < np.linalg.norm(shank, axis=-1).mean() < 0.415 * high + 0.01


def test_a_held_set_moves_by_its_sway_alone_and_has_no_name() -> None:
    rng, held = np.random.default_rng(0), []
    for variant in VARIANTS[:6] * 12:
        _, solved, name = perform_variant(variant, rng, 1)
        if not name:
            joints = solved.joints(COCO_18.name)
            held.append(float(np.ptp(joints, axis=0).max()))
    assert 2 <= len(held) <= 18
    assert max(held) < 0.12  # of a stature of 1.755; the knee of a nearly straight leg goes farther than the pelvis


def test_a_workout_has_a_named_set_and_rows_inside_it(library: ModuleType) -> None:
    for number in range(3):
        joints, rows = library.workout(7, number)
        assert joints.shape[1:] == (18, 3)
        assert rows
        assert all(0 <= start < end <= len(joints) and reps >= 1 for start, end, reps, _ in rows)
        assert {name for *_, name in rows} <= set(NAMES)
        assert all(a[1] <= b[0] for a, b in itertools.pairwise(rows))


def test_the_same_seed_gives_the_same_bytes_from_every_camera(library: ModuleType) -> None:
    first, again = library.files(1, 7, 2), library.files(1, 7, 2)
    assert [name for name, _ in first] == [
        f"w0010{camera}/w0010{camera}_{kind}" for camera in (2, 3) for kind in ("labels.csv", "pose_2d.npy")
    ]
    assert first == again
    assert first[1][1] != first[3][1]
    assert parse_labels(first[0][1], "w00102_labels.csv")
