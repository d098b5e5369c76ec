"""What a job takes: files, folders, patterns, image sequences; photos never become a clip by themselves."""

from pathlib import Path

import numpy as np
import pytest

from repset.autolabel.inputs import find_media
from repset.autolabel.sequences import read_sequence, runs
from repset.autolabel.work import Options, frames_of
from repset.errors import DataError
from repset.video import at_rate, encode_png, write_video


def picture(path: Path, grey: int = 0, width: int = 64, height: int = 48) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode_png(np.full((height, width, 3), grey, np.uint8)))
    return path


@pytest.fixture
def frames(tmp_path: Path) -> Path:
    """Frames 7 to 26 but for 9 and 10, and a photo."""
    for number in [7, 8, *range(11, 27)]:
        picture(tmp_path / "set" / f"frame_{number:04d}.png", number * 9)
    picture(tmp_path / "set" / "cover.png")
    return tmp_path / "set"


def test_numbered_images_are_pictures_until_a_person_gives_the_rate(tmp_path: Path) -> None:
    for number in range(1, 21):
        picture(tmp_path / "trip" / f"IMG_{number:04d}.png", number)
    found = find_media([tmp_path / "trip"])
    assert [task.kind for task in found.tasks] == ["image"] * 20
    assert found.hints == (
        "trip/IMG_%04d.png: 20 numbered images, taken as single pictures. If they are the frames of a clip, say at "
        "which rate: --sequence 30",
    )
    (task,) = find_media([tmp_path / "trip"], 25).tasks
    assert (task.kind, task.media, task.frames, task.fps) == ("sequence", "trip/IMG_%04d.png", 20, 25)
    assert find_media([tmp_path / "trip"], 25).hints == ()


def test_few_or_gappy_numbers_raise_no_hint(frames: Path) -> None:
    assert find_media([frames]).hints == ()
    assert find_media([frames / "frame_0007.png", frames / "frame_0008.png"]).hints == ()


def test_sequence_keeps_the_time_of_a_number_left_out(frames: Path) -> None:
    photo, clip = find_media([frames], 10).tasks
    assert (photo.kind, photo.media) == ("image", "set/cover.png")
    assert (clip.kind, clip.media, clip.frames) == ("sequence", "set/frame_%04d.png", 18)
    options = Options(None, "default", "full", 0.5, Path())
    seen = [(round(time_s, 6), int(image[0, 0, 0])) for time_s, image in frames_of(clip, options)]
    assert seen[:3] == [(0.0, 63), (0.1, 72), (0.4, 99)]
    assert seen[-1] == (1.9, 234)
    thinned = [round(time_s, 6) for time_s, _ in read_sequence(clip.files, 10, 5)]
    assert thinned == [0.0, 0.4, 0.6, 0.8, 1.0, 1.2, 1.4, 1.6, 1.8]


def test_runs_differ_in_their_last_number_alone(tmp_path: Path) -> None:
    names = ["a1_1.png", "a1_2.png", "a1_10.png", "b_01.png", "b_02.png", "c7.png", "plain.png", "b_02.jpg"]
    found = runs({f"x/{name}": tmp_path / name for name in names})
    assert [(run.name, run.numbers) for run in found] == [("x/a1_%d.png", (1, 2, 10)), ("x/b_%02d.png", (1, 2))]


def test_printf_pattern_names_a_sequence(frames: Path) -> None:
    (task,) = find_media([frames / "frame_%04d.png"], 30).tasks
    assert (task.kind, task.media, task.frames) == ("sequence", "frame_%04d.png", 18)
    with pytest.raises(DataError) as caught:
        find_media([frames / "frame_%04d.png"])
    assert str(caught.value) == (
        f"{frames}/frame_%04d.png: expected an image sequence with its rate, found no rate. "
        "Add it, for example: --sequence 30."
    )
    with pytest.raises(DataError) as caught:
        find_media([frames / "frame_%05d.png"], 30)
    assert str(caught.value) == (
        f"{frames}/frame_%05d.png: expected numbered images, found no match. Check the path."
    )  # fmt: skip


def test_two_images_of_one_number_or_of_two_sizes_are_a_sentence(tmp_path: Path) -> None:
    for name in ("f_1.png", "f_01.png", "f_2.png"):
        picture(tmp_path / "twice" / name)
    (problem,) = find_media([tmp_path / "twice"], 30).problems
    assert problem.reason == "twice/f_%d.png: expected one image a number, found two of number 1. Rename or remove one."
    picture(tmp_path / "sizes" / "f_1.png")
    other = picture(tmp_path / "sizes" / "f_2.png", width=80)
    (task,) = find_media([tmp_path / "sizes"], 30).tasks
    with pytest.raises(DataError) as caught:
        list(read_sequence(task.files, 30))
    assert str(caught.value) == (
        f"{other}: expected 64 × 48 pixels like the first image of the sequence, found 80 × 48. "
        "Leave it out, or scale it."
    )


def test_pattern_that_no_shell_expanded_takes_media_alone(tmp_path: Path) -> None:
    black = [np.zeros((48, 64, 3), np.uint8)] * 3
    write_video(tmp_path / "in" / "a.mp4", black, 12)
    write_video(tmp_path / "in" / "deep" / "b.mp4", black, 12)
    (tmp_path / "in" / "notes.txt").write_text("x")
    found = find_media([tmp_path / "in" / "*"])
    assert [task.media for task in found.tasks] == ["a.mp4", "deep/b.mp4"]
    assert found.ignored == {".txt": 1}
    assert [task.media for task in find_media([tmp_path / "in" / "**" / "*.mp4"]).tasks] == ["a.mp4", "b.mp4"]
    with pytest.raises(DataError) as caught:
        find_media([tmp_path / "in" / "*.mov"])
    assert str(caught.value) == (
        f"{tmp_path}/in/*.mov: expected a pattern that matches videos or images, found no match. Check the path."
    )


def test_file_whose_name_looks_like_a_pattern_is_that_file(tmp_path: Path) -> None:
    for name in ("set[1].png", "five%03d.png"):
        picture(tmp_path / name)
        assert [task.kind for task in find_media([tmp_path / name]).tasks] == ["image"]


@pytest.mark.parametrize(
    ("times", "fps", "kept"),
    [
        ([0.0, 0.1, 0.2, 0.3, 0.4], 5.0, [0.0, 0.2, 0.4]),
        ([0.0, 0.1, 0.2, 0.3, 0.4], None, [0.0, 0.1, 0.2, 0.3, 0.4]),
        ([0.0, 0.1, 0.2, 0.3, 0.4], 60.0, [0.0, 0.1, 0.2, 0.3, 0.4]),
        ([0.0, 0.05, 0.9, 0.95, 2.5, 2.6], 1.0, [0.0, 2.5]),
        ([n / 30 for n in range(13)], 12.0, [n / 30 for n in (0, 3, 5, 8, 10)]),
    ],
)
def test_kept_frames_are_the_first_after_each_tick(times: list[float], fps: float | None, kept: list[float]) -> None:
    keep = at_rate(fps)
    assert [time_s for time_s in times if keep(time_s)] == kept
