"""Counts on the annotated joints of a set whose clips were cut to one action each, as Penn Action's were.

    python tools/trust_actions.py PROJECT --source penn_action

PROJECT must hold the indexed source: `repset pull penn_action`, `repset index penn_action`. A clip whose counted joints
are annotated as visible in less than 15 % of the frames has nothing to count and stands apart. `jump_rope` is left out:
its clips show several hops, and nobody wrote down how many.
"""

import argparse
import sys
from collections import Counter, defaultdict
from pathlib import Path

from repset.autolabel.counting import MIN_SEEN
from repset.autolabel.label import count_stretch
from repset.autolabel.smooth import clean
from repset.errors import RepsetError
from repset.learn.exercise_data import read_tracks
from repset.project import Project
from repset.records import read_rows

SEVERAL = "jump_rope"


def counts(project: Project, source: str) -> dict[str, list[tuple[str, int | None]]]:
    """Exercise → clips with their counts; None where the counted joints are hidden."""
    rows = read_rows(project.index(source) / "samples.parquet", "samples", ["sample_id", "exercise"])
    named = {row["sample_id"]: row["exercise"] for row in rows if row["exercise"] not in (None, SEVERAL)}
    found = defaultdict[str, list[tuple[str, int | None]]](list)
    for sample_id, (_, track) in read_tracks(project, source, named).items():
        signal, reps = count_stretch(named[sample_id], clean(track, 0.0))
        found[named[sample_id]].append((sample_id, len(reps) if signal.seen >= MIN_SEEN else None))
    return found


def main() -> None:
    """Print one row an exercise."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("project", type=Path, nargs="?", default=Path())
    parser.add_argument("--source", default="penn_action")
    options = parser.parse_args()
    found = counts(Project(options.project.resolve()), options.source)
    print("| exercise | clips | joints hidden | counted once | not once |\n|---|--:|--:|--:|---|")
    right = seen = 0
    for exercise, clips in sorted(found.items()):
        known = Counter(number for _, number in clips if number is not None)
        wrong = [f"{name.split('/')[-1]}: {number}" for name, number in clips if number not in (None, 1)]
        right, seen = right + known[1], seen + known.total()
        print(f"| {exercise} | {len(clips)} | {len(clips) - known.total()} | {known[1]} | {', '.join(wrong)} |")
    print(f"\nCounted once: {right} of {seen} clips whose joints are seen.")


if __name__ == "__main__":
    try:
        main()
    except RepsetError as error:
        sys.exit(f"trust_actions: {error}")
