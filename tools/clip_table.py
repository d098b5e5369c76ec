"""Counted repetitions beside counts made by eye: the README's tables on real clips.

    python tools/clip_table.py ../shared/data/videos

The folder holds clips and a `manifest.csv` with each clip's file, exercise, repetitions by eye (`reps_by_eye`: turning
points; `reps_complete`: full returns), confidence and kind. Every clip is labelled twice by `repset autolabel`: once
with its exercise named, once with the exercise recognised. Real footage that was counted with high confidence is kept
apart from stress cases.
"""

import argparse
import csv
import subprocess
import sys
import tempfile
from pathlib import Path

from repset.exercises import NONE, canonical

Counts = dict[str, tuple[int, int, str]]
"""File name → repetitions, complete ones, exercises found."""


def label(files: list[Path], exercise: str, out: Path) -> Counts:
    """Run `repset autolabel` and read its summary."""
    subprocess.run(
        [sys.executable, "-m", "repset", "autolabel", *files, "--exercise", exercise, "--out", out], check=True
    )
    counts: Counts = {}
    with (out / "summary.csv").open(encoding="utf-8", newline="") as handle:
        for row in csv.DictReader(handle):
            name = Path(row["media"]).name
            reps, whole, found = counts.get(name, (0, 0, ""))
            if row["exercise"] != NONE:
                found = row["exercise"] if found in ("", row["exercise"]) else f"{found}, {row['exercise']}"
            counts[name] = (reps + int(row["reps"]), whole + int(row["reps_complete"]), found)
    return counts


def main(folder: Path) -> None:
    """Print both tables and their totals."""
    with (folder / "manifest.csv").open(encoding="utf-8", newline="") as handle:
        clips = list(csv.DictReader(handle))
    truth = {clip["file"]: canonical(clip["exercise"], "videos") for clip in clips}
    named: Counts = {}
    with tempfile.TemporaryDirectory(prefix="repset-clips-") as scratch:
        auto = label([folder / clip["file"] for clip in clips], "auto", Path(scratch) / "auto")
        for exercise in sorted({name for name in truth.values() if name and name != NONE}):
            files = [folder / file for file, name in truth.items() if name == exercise]
            named |= label(files, exercise, Path(scratch) / exercise)
    trusted = [clip for clip in clips if clip["kind"] == "real" and clip["confidence"] == "high"]
    for title, rows in (
        ("Real footage, counted by eye with high confidence", trusted),
        ("Stress cases: drawn by a generator, or uncertain by eye", [clip for clip in clips if clip not in trusted]),
    ):
        print(
            f"\n**{title}**\n\n| clip | by eye | exercise named | recognised | recognised as |\n|---|--:|--:|--:|---|"
        )
        exact = {"named": 0, "auto": 0, "word": 0}
        for clip in rows:
            eye = (int(clip["reps_by_eye"]), int(clip["reps_complete"]))
            name = truth[clip["file"]]
            given, seen = named.get(clip["file"]), auto[clip["file"]]
            exact["named"] += given is not None and given[:2] == eye
            exact["auto"] += seen[:2] == eye
            exact["word"] += (seen[2] or NONE) == (name or NONE)
            cell = f"{given[0]} ({given[1]})" if given else "–"
            print(
                f"| {clip['file'].removesuffix('.mp4')} | {eye[0]} ({eye[1]}) | {cell} "
                f"| {seen[0]} ({seen[1]}) | {seen[2] or NONE} |"
            )
        n = sum(clip["file"] in named for clip in rows)
        print(
            f"\nBoth counts exact: {exact['named']} of {n} with the exercise named, {exact['auto']} of {len(rows)} with"
        )
        print(f"it recognised. Recognised right: {exact['word']} of {len(rows)}.")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    main(parser.parse_args().folder)
