"""The drawn athlete's motion, mesh and rasteriser, against limits and independent computations."""

import math

import cv2
import numpy as np
import pytest

from repset.landmarks import BLAZEPOSE_33
from repset.sample import raster
from repset.sample.catalogue import MOTIONS, motion_tracks, perform
from repset.sample.identity import ATHLETES
from repset.sample.mesh import Shape, build
from repset.sample.truth import EXTRA_LIMITS, rep_rows

COUNTED = [name for name, motion in MOTIONS.items() if motion.tempo.turn_limit is not None]


def angle_at(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> float:
    """Interior angle at b by the law of cosines."""
    ab, cb, ac = (math.dist(p, q) for p, q in ((a, b), (c, b), (a, c)))
    return math.degrees(math.acos((ab**2 + cb**2 - ac**2) / (2 * ab * cb)))


def knee_and_elbow(joints: np.ndarray) -> dict[str, float]:
    at = {name: joints[k] for k, name in enumerate(BLAZEPOSE_33.joints)}
    triples = {"knee": ("hip", "knee", "ankle"), "elbow": ("shoulder", "elbow", "wrist")}
    return {
        name: float(np.mean([angle_at(*(at[f"{side}_{part}"] for part in parts)) for side in ("left", "right")]))
        for name, parts in triples.items()
    }


@pytest.mark.parametrize(
    ("exercise", "joint", "turn_at_most", "lock_at_least"),
    [
        ("squat", "knee", 100, 160),
        ("push_up", "elbow", 100, 155),
        ("pull_up", "elbow", 75, 150),
        ("lunge", "knee", 110, 155),
    ],
)
def test_correct_repetitions_reach_depth_and_lockout(
    exercise: str, joint: str, turn_at_most: int, lock_at_least: int
) -> None:
    for seed in range(3):
        course, solved = perform(exercise, seed, np.random.default_rng(seed), 3, None, 0.0)
        joints = solved.joints("blazepose_33")
        for rep in course.reps:
            assert rep.fault is None
            assert knee_and_elbow(joints[rep.turn])[joint] <= turn_at_most
            assert knee_and_elbow(joints[rep.start])[joint] >= lock_at_least
            assert knee_and_elbow(joints[rep.end])[joint] >= lock_at_least


@pytest.mark.parametrize("exercise", COUNTED)
def test_the_verdict_names_the_fault_that_was_drawn(exercise: str) -> None:
    seen = set()
    for seed in range(6):
        course, solved = perform(exercise, seed, np.random.default_rng([seed, 9]), 4, None, 0.6)
        _, form = rep_rows("x", 0, MOTIONS[exercise], course, solved, 0, "side")
        for rep, row in zip(course.reps, form, strict=True):
            assert row["rule_id"] == (rep.fault.name if rep.fault else None)
            assert row["verdict"] == ("incorrect" if rep.fault else "correct")
            within = (row["low_deg"] is None or row["value_deg"] >= row["low_deg"]) and (
                row["high_deg"] is None or row["value_deg"] <= row["high_deg"]
            )
            assert within == (row["verdict"] == "correct")
            seen.add(row["rule_id"])
    assert len(seen) >= 2


def test_every_fault_channel_has_a_limit() -> None:
    channels = {fault.extra[0] for motion in MOTIONS.values() for fault in motion.tempo.faults if fault.extra}
    assert channels == set(EXTRA_LIMITS)


@pytest.mark.parametrize("exercise", COUNTED)
def test_a_clip_begins_and_ends_at_rest_and_its_repetitions_do_not_overlap(exercise: str) -> None:
    course, solved = perform(exercise, 4, np.random.default_rng(11), 3, 48, 0.5)
    assert course.frames <= 48
    assert course.reps[0].start >= 3
    assert course.reps[-1].end <= course.frames - 3
    body = solved.joints("penn_13")[:, 1:]  # without the head, which is never quite still
    assert np.abs(np.diff(body[:3], axis=0)).max() < 1e-6
    assert np.abs(np.diff(body[-3:], axis=0)).max() < 1e-6
    for rep, after in zip(course.reps, course.reps[1:], strict=False):
        assert rep.start < rep.turn < rep.end <= after.start
    assert all(rep.end - rep.start >= 12 for rep in course.reps)


def test_bones_keep_their_length_and_feet_their_place() -> None:
    tracks = motion_tracks("squat", seed=5, reps=3)
    at = {name: tracks[:, k] for k, name in enumerate(BLAZEPOSE_33.joints)}
    for a, b in (("left_hip", "left_knee"), ("left_knee", "left_ankle"), ("right_elbow", "right_wrist")):
        length = np.linalg.norm(at[a] - at[b], axis=1)
        assert np.ptp(length) < 0.002
        assert 0.2 < length.mean() < 0.5
    assert np.ptp(at["left_ankle"], axis=0).max() < 1e-3
    assert np.array_equal(tracks, motion_tracks("squat", seed=5, reps=3))
    assert not np.array_equal(tracks[:20], motion_tracks("squat", seed=6, reps=3)[:20])


def test_the_athletes_differ() -> None:
    assert len(ATHLETES) >= 8
    assert {who.female for who in ATHLETES} == {True, False}
    assert len({who.hair for who in ATHLETES}) >= 5
    looks = {(who.skin, outfit) for who in ATHLETES for outfit in who.outfits}
    assert len(looks) == sum(len(who.outfits) for who in ATHLETES)


def test_a_ball_becomes_a_closed_mesh_on_its_own_surface() -> None:
    ball = Shape("ball", np.zeros(3), np.zeros(3), axes=np.full(3, 0.1))
    surface = build([ball], 0.02, 0.01)
    radius = np.linalg.norm(surface.vertices, axis=1)
    assert np.abs(radius - 0.1).max() < 1e-3
    assert np.einsum("ij,ij->i", surface.normals, surface.vertices / radius[:, None]).min() > 0.98
    edges = np.sort(np.concatenate([surface.quads[:, [k, (k + 1) % 4]] for k in range(4)]), axis=1)
    _, count = np.unique(edges, axis=0, return_counts=True)
    assert (count == 2).all()


def test_every_pixel_shows_the_nearest_triangle_over_its_centre() -> None:
    rng = np.random.default_rng(2)
    height, width = 60, 80
    xy = rng.uniform(-5, 65, (60, 2)).astype(np.float32)  # some reach out of the picture
    triangles = np.arange(60).reshape(20, 3)
    a, b, c = (xy[triangles[:, k]] for k in range(3))
    turn = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])
    triangles = np.where(turn[:, None] > 0, triangles[:, ::-1], triangles)
    depth = np.repeat(rng.permutation(20) + 1.0, 3).astype(np.float32)
    buffer = raster.empty_buffer(width, height)
    raster.draw(buffer, (height, width), xy, depth, triangles)
    found = raster.hits(buffer, width, xy, triangles)
    drawn = np.full(height * width, -1)
    drawn[found.pixel] = found.face
    compared = 0
    for row in range(height):
        for column in range(width):
            point = (column + 0.5, row + 0.5)
            inside = [cv2.pointPolygonTest(xy[corners].reshape(-1, 1, 2), point, True) for corners in triangles]
            if min(abs(distance) for distance in inside) < 0.02:
                continue  # on an edge either answer is right
            over = [face for face, distance in enumerate(inside) if distance > 0]
            nearest = min(over, key=lambda face: depth[triangles[face, 0]], default=-1)
            assert drawn[row * width + column] == nearest
            compared += 1
    assert compared > 4500
    assert np.allclose(found.weights.sum(axis=1), 1, atol=1e-4)
    assert np.allclose(found.depth, depth[triangles[found.face, 0]], atol=1e-3)


def test_a_back_face_is_not_drawn() -> None:
    xy = np.array([[2, 2], [12, 2], [2, 12]], np.float32)
    buffer = raster.empty_buffer(16, 16)
    raster.draw(buffer, (16, 16), xy, np.ones(3, np.float32), np.array([[0, 1, 2]]))
    assert (buffer == raster.EMPTY).all()
    raster.draw(buffer, (16, 16), xy, np.ones(3, np.float32), np.array([[0, 2, 1]]))
    assert (buffer != raster.EMPTY).sum() > 30
