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

import numpy as np
import torch

from repset.learn import exercise
from repset.learn import exercise_data as data
from repset.learn.exercise_calibration import fit_temperature
from repset.learn.exercise_items import WindowBlocks
from repset.params import ExerciseTrain, Params, TrainParams, load_yaml, parse
from repset.project import Project, find_project
from repset.records import atomic_folder, write_json

SOURCES = ("penn_action", "motion_library")
BLOCKS = 30
"""Batches of varied windows on which the temperature is fitted."""


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where the model is written")
    folder = parser.parse_args().folder
    project = find_project()
    recipe = project.pipelines / "real.yaml"
    params = without_deepfit(parse(Params, load_yaml(recipe), recipe).train)
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
        write_json(temporary / "metrics.json", {**scores, "calibration": calibration(project, tables, temporary)})


def without_deepfit(params: TrainParams) -> TrainParams:
    """The same with one step of DeepFit's network, which is not released."""
    own = params.exercise.deepfit.model_copy(update={"epochs": 1, "max_steps": 1})
    return params.model_copy(update={"exercise": params.exercise.model_copy(update={"deepfit": own})})


def calibration(project: Project, tables: dict[str, Path], folder: Path) -> dict[str, float]:
    """The temperature that suits the motion library's validation fold, its windows varied as in training.

    Penn Action's official split has no validation part, and its test part must not choose anything.
    """
    card, both = exercise.load(folder)
    own = ExerciseTrain.model_validate(card.params)
    clips, _ = data.load_clips(project, {SOURCES[1]: tables[SOURCES[1]]}, ("validation",), own.split, gold_only=True)
    torch.manual_seed(card.seed)
    blocks = WindowBlocks(clips, card.classes, exercise.window_spec(own), own.batch)
    parts = [blocks[0] for _ in range(BLOCKS)]
    log_p = np.concatenate([exercise.log_probabilities(both.temporal, windows.numpy()) for windows, _ in parts])
    return fit_temperature(log_p, np.concatenate([truth.numpy() for _, truth in parts]))


if __name__ == "__main__":
    main()
