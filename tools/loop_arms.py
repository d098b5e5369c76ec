"""What the loop is worth for exercise recognition: a quarter of the labels of a source, four arms.

    python tools/loop_arms.py arms/ --seeds 0 1 2 3 4                              real poses: Penn Action
    python tools/loop_arms.py arms_drawn/ --source motion_actions --block 1        rendered: 27 actions

Clips with neighbouring numbers (blocks of 4 in Penn Action) are one group, since they may come from one recording.
40 % of the groups train, 30 % calibrate acceptance, 30 % test. A quarter of the training groups keeps its gold, the
others lose it. Trained on that quarter alone (bootstrap), with the proposals that acceptance lets through (accepted),
with all proposals (unfiltered), and with the truth of the others (oracle): the same network and number of steps.
Proposals, acceptance and its 5 % at 95 % are the pipeline's own (`repset preannotate`, `repset accept`).

Takes the parameters of pipelines/real.yaml (group `train`) and the table that `repset seed exercise SOURCE` wrote.
A training takes a minute or two on one core. None is done twice: a run that was stopped goes on. scores.json holds the
arms, how each compares with bootstrap (the same test groups drawn for both, 2,000 times) and how acceptance went.
"""

import argparse
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from penn_score import answers
from recipe_bench import digest, quarter, sorted_out
from train_release import without_deepfit

from repset.learn import exercise
from repset.learn import exercise_data as data
from repset.params import Params, TrainParams, load_yaml, parse
from repset.project import Project, find_project
from repset.records import atomic_folder, read_json, read_rows, sha256_bytes, write_json, write_table

ARMS = ("bootstrap", "accepted", "unfiltered", "oracle")
FOLDS = (("train", 0.4), ("calibration", 0.7), ("test", 1.0))
DRAWS = 2000
Rows = list[dict[str, Any]]
ByGroup = dict[str, list[int]]
"""Group → clips named right, clips."""


def main() -> None:
    """Train what is missing, then print and write the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--source", default="penn_action")
    parser.add_argument("--block", type=int, default=4, help="numbers in a row that are one group")
    parser.add_argument("--steps", type=int, default=1000, help="of every training")
    options = parser.parse_args()
    project = find_project()
    recipe = project.pipelines / "real.yaml"
    params = parse(Params, load_yaml(recipe), recipe)
    table = project.seed(exercise.TASK, options.source) / "table.parquet"
    rows = regrouped(read_rows(table, "curated"), options.block)
    own = params.train.exercise.model_copy(update={"split": "ours", "epochs": 10_000, "max_steps": options.steps})
    train = without_deepfit(params.train.model_copy(update={"exercise": own}))
    runs: dict[str, list[ByGroup]] = {arm: [] for arm in ARMS}
    taken = []
    for seed in options.seeds:
        folder = options.out / f"seed_{seed}"
        gold, rest = quarter(rows, seed)
        seeded = train.model_copy(update={"seed": seed})
        runs["bootstrap"].append(trained(project, gold, seeded, folder / "bootstrap"))
        found = exercise.propose(project, folder / "bootstrap", exercise.TASK, options.source, "cpu")
        more, facts = sorted_out(exercise.TASK, found, rows, rest, params.accept)
        taken.append({"seed": seed, **facts})
        print(f"seed {seed}: {facts}", flush=True)
        more["oracle"] = rest
        for arm in ARMS[1:]:
            runs[arm].append(trained(project, gold + more[arm], seeded, folder / arm))
    asked = {"source": options.source, "seeds": options.seeds, "steps": options.steps}
    result = {**asked, **summary(runs), "acceptance": taken}
    write_json(options.out / "scores.json", result)
    for arm, scores in result["arms"].items():
        print(f"{arm:>10}: {scores['accuracy']:.4f}, by seed {scores['by_seed']}")
    for name, gain in result["differences"].items():
        print(f"{name}: {gain['mean']:+.4f}, interval {gain['interval_95']}")


def regrouped(rows: Rows, block: int) -> Rows:
    """The table with neighbouring numbers as groups, dealt to the folds by the hash of the group's name."""
    out = []
    for row in rows:
        group = f"{int(re.sub('[^0-9]', '', row['sample_id'].split('/')[1])) // block:04d}"
        dealt = int(sha256_bytes(f"fold {group}".encode())[:8], 16) / 2**32
        out.append(row | {"group": group, "fold": next(fold for fold, upto in FOLDS if dealt < upto)})
    return out


def trained(project: Project, rows: Rows, params: TrainParams, folder: Path) -> ByGroup:
    """Train on some rows of one source and name the clips of the fold test, unless just that was done."""
    source = str(rows[0]["source"])
    key = sha256_bytes((digest(rows) + params.model_dump_json()).encode())
    done = folder / "scores.json"
    if not done.is_file() or read_json(done)["key"] != key:
        with atomic_folder(folder) as temporary:
            table = write_table(temporary / "table.parquet", "curated", rows)
            exercise.fit(project, {source: table}, params, temporary, "cpu")
            clips, _ = data.load_clips(project, {source: table}, ("test",), "ours", gold_only=True)
            groups = {row["sample_id"]: row["group"] for row in rows}
            by_group: ByGroup = {}
            for clip, name in zip(clips, answers(temporary, clips)[0], strict=True):
                counts = by_group.setdefault(groups[clip.sample_id], [0, 0])
                counts[0] += name == clip.label
                counts[1] += 1
            write_json(temporary / "scores.json", {"key": key, "by_group": by_group})
    found: ByGroup = read_json(done)["by_group"]
    clips_learned = sum(row["fold"] == "train" for row in rows)
    print(f"{folder.parent.name} {folder.name}: {clips_learned} clips, accuracy {accuracy(found):.4f}", flush=True)
    return found


def summary(runs: Mapping[str, Sequence[ByGroup]]) -> dict[str, Any]:
    """Accuracy of each arm, and the differences with intervals over the test groups, all seeds together."""
    pairs = [*((arm, "bootstrap") for arm in ARMS[1:]), ("accepted", "unfiltered")]
    return {
        "test_clips": sum(n for _, n in runs["bootstrap"][0].values()),
        "test_groups": len(runs["bootstrap"][0]),
        "arms": {
            arm: {
                "accuracy": float(np.mean([accuracy(one) for one in scores])),
                "by_seed": [round(accuracy(one), 4) for one in scores],
            }
            for arm, scores in runs.items()
        },
        "differences": {f"{one} - {other}": difference(runs[one], runs[other]) for one, other in pairs},
    }


def accuracy(by_group: ByGroup) -> float:
    """Share of clips named right."""
    return sum(right for right, _ in by_group.values()) / sum(n for _, n in by_group.values())


def difference(one: Sequence[ByGroup], other: Sequence[ByGroup]) -> dict[str, Any]:
    """Difference of the mean accuracies and its 95 % interval, groups drawn with replacement."""
    groups = sorted(one[0])
    gained = np.array([sum(a[g][0] - b[g][0] for a, b in zip(one, other, strict=True)) for g in groups]) / len(one)
    size = np.array([one[0][group][1] for group in groups])
    drawn = np.random.default_rng(0).multinomial(len(groups), np.full(len(groups), 1 / len(groups)), DRAWS)
    values = drawn @ gained / (drawn @ size)
    interval = [round(float(value), 4) for value in np.quantile(values, (0.025, 0.975))]
    return {"mean": float(gained.sum() / size.sum()), "interval_95": interval}


if __name__ == "__main__":
    main()
