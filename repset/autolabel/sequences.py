"""Clips that are stored as numbered images: found by their names, read at the rate that a person gives."""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from repset.errors import DataError
from repset.video import Image, at_rate, read_picture

NUMBER = re.compile(r"%(?:0(\d+))?d")
"""The numbers' place in a pattern: %d, or %05d for five digits."""
_LAST_NUMBER = re.compile(r"(.*?)(\d+)(\D*)", re.DOTALL)
_LIKE_FRAMES = 16


@dataclass(frozen=True)
class Run:
    """Images of one folder whose names differ in their last number alone.

    Attributes:
        name: of the clip: the images' own with `%04d` for the number.
        files, numbers: in order.
    """

    name: str
    files: tuple[Path, ...]
    numbers: tuple[int, ...]

    def like_frames(self) -> bool:
        """Whether a person may have meant a clip: many, and none left out."""
        return len(self.files) >= _LIKE_FRAMES and self.numbers[-1] - self.numbers[0] == len(self.files) - 1

    def hint(self) -> str:
        """What to do if they did."""
        return (
            f"{self.name}: {len(self.files)} numbered images, taken as single pictures. If they are the frames of a "
            "clip, say at which rate: --sequence 30"
        )


def runs(images: Mapping[str, Path]) -> list[Run]:
    """Runs of two or more among images (name → file), by name."""
    alike: dict[tuple[Path, str, str, str], list[tuple[int, str, Path]]] = defaultdict(list)
    for name, path in images.items():
        parts = _LAST_NUMBER.fullmatch(path.stem)
        if parts is not None:
            before, digits, after = parts.groups()
            place = name.removesuffix(path.name)
            alike[path.parent, place, before, after + path.suffix].append((int(digits), digits, path))
    found = []
    for (_, place, before, after), members in alike.items():
        if len(members) > 1:
            members.sort()
            widths = {len(digits) for _, digits, _ in members}
            code = f"%0{widths.pop()}d" if len(widths) == 1 else "%d"
            files = tuple(path for _, _, path in members)
            found.append(Run(f"{place}{before}{code}{after}", files, tuple(number for number, _, _ in members)))
    return sorted(found, key=lambda run: run.name)


def matching(pattern: Path, fps: float | None) -> list[Path]:
    """Files of a pattern such as frames/%05d.jpg.

    Raises: DataError if there is none, or no rate is given.
    """
    if fps is None:
        raise DataError(pattern, "an image sequence with its rate", "no rate", "Add it, for example: --sequence 30")
    number = NUMBER.search(pattern.name)
    assert number is not None
    digits = rf"\d{{{number[1]}}}" if number[1] else r"\d+"
    wanted = re.compile(re.escape(pattern.name[: number.start()]) + digits + re.escape(pattern.name[number.end() :]))
    found = sorted(p for p in pattern.parent.glob("*") if p.is_file() and wanted.fullmatch(p.name))
    if not found:
        raise DataError(pattern, "numbered images", "no match", "Check the path")
    return found


def read_sequence(files: tuple[Path, ...], fps: float, keep_fps: float | None = None) -> Iterator[tuple[float, Image]]:
    """Frames as (seconds from the first, BGR image), one at a time; a number left out takes its time all the same.

    Args:
        fps: of the numbers; keep_fps: give only so many a second (`repset.video.at_rate`).
    Raises: DataError if one is no image, or of another size than the first.
    """
    numbers = [int(_LAST_NUMBER.fullmatch(path.stem)[2]) for path in files]  # type: ignore[index]
    keep, size = at_rate(keep_fps), None
    for number, path in zip(numbers, files, strict=True):
        time_s = (number - numbers[0]) / fps
        if not keep(time_s):
            continue
        image = read_picture(path)
        size = size or image.shape
        if image.shape != size:
            wanted = f"{size[1]} × {size[0]} pixels like the first image of the sequence"
            raise DataError(path, wanted, f"{image.shape[1]} × {image.shape[0]}", "Leave it out, or scale it")
        yield time_s, image
