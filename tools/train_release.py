"""Train the exercise model that lies in the package: Penn Action's training part and the motion library together.

A profile is real or rendered, never both, so that no score mixes them. The released network alone learns from both:
there are real poses of eight exercises only. It takes the parameters of pipelines/real.yaml (group `train`) and the
tables that `repset seed` wrote, and is scored on each source's test fold apart.

    repset seed exercise penn_action
    repset seed exercise motion_library
    python tools/train_release.py trained/
    repset release exercise --from trained/

models/exercise/README.md has the whole row of commands. The same tables give the same bytes on one machine.
"""

import argparse
from pathlib import Path

from repset.learn import exercise
from repset.params import Params, load_yaml, parse
from repset.project import find_project
from repset.records import atomic_folder, write_json

SOURCES = ("penn_action", "motion_library")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where the model is written")
    folder = parser.parse_args().folder
    project = find_project()
    recipe = project.pipelines / "real.yaml"
    params = parse(Params, load_yaml(recipe), recipe).train
    tables = {source: project.seed(exercise.TASK, source) / "table.parquet" for source in SOURCES}

    def show(done: int, total: int, label: str) -> None:
        if done == total or done % 50 == 0:
            print(f"\r{label} {done}/{total}   ", end="", flush=True)

    with atomic_folder(folder) as temporary:
        exercise.fit(project, tables, params, temporary, "cpu", show)
        scores = {}
        for source, table in tables.items():
            metrics = exercise.evaluate(project, {source: table}, temporary, progress=show).metrics
            scores[source] = metrics
            clip = metrics["temporal"]["clip"]
            print(f"\n{source}: {clip['accuracy']:.4f} of {clip['n']} clips named right")
        write_json(temporary / "metrics.json", scores)


if __name__ == "__main__":
    main()
