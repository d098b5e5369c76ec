"""What the loop is worth, on real poses: exercise recognition of Penn Action from a quarter of its labels, four arms.

    python tools/loop_arms.py arms/ --seeds 0 1 2 3 4

Clips with neighbouring sequence numbers (blocks of 4) are one group, since they may come from one recording. 40 % of
the groups train, 30 % calibrate acceptance, 30 % test. A quarter of the training groups keeps its gold, the others
lose it. Trained on that quarter alone (bootstrap), with the proposals that acceptance lets through (accepted), with
all proposals (unfiltered), and with the truth of the others (oracle): the same network and number of steps. Proposals,
acceptance and its 5 % at 95 % are the pipeline's own (`repset preannotate`, `repset accept`).

Takes the parameters of pipelines/real.yaml (group `train`) and the table that `repset seed exercise penn_action` wrote.
A training takes a minute or two on one core. None is done twice: a run that was stopped goes on. scores.json holds the
arms, how each compares with bootstrap (the same test groups drawn for both, 2,000 times) and how acceptance went.
"""

import argparse
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from penn_score import SOURCE, answers
from recipe_bench import ARMS, GOLD_SHARE, as_curated, digest
from train_release import without_deepfit

from repset.curate.acceptance_bound import choose
from repset.curate.acceptance_items import Item, is_wrong, items_of
from repset.learn import exercise
from repset.learn import exercise_data as data
from repset.params import Params, TrainParams, load_yaml, parse
from repset.project import Project, find_project
from repset.records import atomic_folder, read_json, read_rows, sha256_bytes, write_json, write_table

BLOCK = 4
"""Clips in a row that are one group."""

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
    parser.add_argument("--steps", type=int, default=1000, help="of every training")
    options = parser.parse_args()
    project = find_project()
    recipe = project.pipelines / "real.yaml"
    params = parse(Params, load_yaml(recipe), recipe)
    table = project.seed(exercise.TASK, SOURCE) / "table.parquet"
    rows = regrouped(read_rows(table, "curated"))
    own = params.train.exercise.model_copy(update={"split": "ours", "epochs": 10_000, "max_steps": options.steps})
    train = without_deepfit(params.train.model_copy(update={"exercise": own}))
    runs: dict[str, list[ByGroup]] = {arm: [] for arm in ARMS}
    taken = []
    for seed in options.seeds:
        folder = options.out / f"seed_{seed}"
        gold, rest = quarter(rows, seed)
        runs["bootstrap"].append(trained(project, gold, rows, train, seed, folder / "bootstrap"))
        proposed, accepted, facts = proposals(project, folder / "bootstrap", rows, rest, params)
        taken.append({"seed": seed, **facts})
        print(f"seed {seed}: {facts}", flush=True)
        for arm, more in (("accepted", accepted), ("unfiltered", proposed), ("oracle", rest)):
            runs[arm].append(trained(project, gold + more, rows, train, seed, folder / arm))
    result = {"source": SOURCE, "seeds": options.seeds, "steps": options.steps, **summary(runs), "acceptance": taken}
    write_json(options.out / "scores.json", result)
    for arm, scores in result["arms"].items():
        print(f"{arm:>10}: {scores['accuracy']:.4f}, by seed {scores['by_seed']}")
    for name, gain in result["differences"].items():
        print(f"{name}: {gain['mean']:+.4f}, interval {gain['interval_95']}")


def regrouped(rows: Rows) -> Rows:
    """The table with neighbouring numbers as groups, dealt to the folds by the hash of the group's name."""
    out = []
    for row in rows:
        group = f"{int(row['sample_id'].split('/')[1]) // BLOCK:04d}"
        dealt = int(sha256_bytes(f"fold {group}".encode())[:8], 16) / 2**32
        out.append(row | {"group": group, "fold": next(fold for fold, upto in FOLDS if dealt < upto)})
    return out


def quarter(rows: Rows, seed: int) -> tuple[Rows, Rows]:
    """Training rows that keep their gold, and the rest."""
    training = [row for row in rows if row["fold"] == "train"]
    groups = sorted({row["group"] for row in training}, key=lambda group: sha256_bytes(f"{seed} {group}".encode()))
    kept = set(groups[: round(GOLD_SHARE * len(groups))])
    return [row for row in training if row["group"] in kept], [row for row in training if row["group"] not in kept]


def trained(project: Project, rows: Rows, everything: Rows, params: TrainParams, seed: int, folder: Path) -> ByGroup:
    """Train on some rows and name the clips of the fold test, unless that was done."""
    done = folder / "scores.json"
    if not done.is_file() or read_json(done)["rows"] != digest_of(rows):
        with atomic_folder(folder) as temporary:
            table = write_table(temporary / "table.parquet", "curated", rows)
            exercise.fit(project, {SOURCE: table}, params.model_copy(update={"seed": seed}), temporary, "cpu")
            truth = write_table(temporary / "truth.parquet", "curated", everything)
            clips, _ = data.load_clips(project, {SOURCE: truth}, ("test",), "ours", gold_only=True)
            groups = {row["sample_id"]: row["group"] for row in everything}
            by_group: ByGroup = {}
            for clip, name in zip(clips, answers(temporary, clips)[0], strict=True):
                counts = by_group.setdefault(groups[clip.sample_id], [0, 0])
                counts[0] += name == clip.label
                counts[1] += 1
            write_json(temporary / "scores.json", {"rows": digest_of(rows), "by_group": by_group})
    found: ByGroup = read_json(done)["by_group"]
    print(f"{folder.parent.name} {folder.name}: {len(rows)} clips, accuracy {accuracy(found):.4f}", flush=True)
    return found


def digest_of(rows: Rows) -> str:
    """Which clips were learned from, and as what."""
    return sha256_bytes((digest(rows) + repr([row["value"] for row in rows])).encode())


def proposals(
    project: Project, model: Path, rows: Rows, rest: Rows, params: Params
) -> tuple[Rows, Rows, dict[str, Any]]:
    """All proposals for the rest and the accepted ones as rows of a curated table, and how acceptance went."""
    proposed = exercise.propose(project, model, exercise.TASK, SOURCE, "cpu")
    items = items_of(exercise.TASK, proposed, {row["sample_id"]: row for row in rows})
    truth: dict[str, Rows] = {}
    for row in rows:
        truth.setdefault(row["sample_id"], []).append(row)
    known = [item for item in items if item.fold == "calibration"]
    choice = choose(
        np.array([item.score for item in known]),
        np.array([is_wrong(exercise.TASK, item, truth[item.sample_id]) for item in known]),
        np.unique([item.group for item in known], return_inverse=True)[1].astype(np.int64),
        params.accept.max_error,
        params.accept.confidence,
    )
    context = {row["sample_id"]: row for row in rest}
    mine = [item for item in items if item.sample_id in context]
    accepted = [item for item in mine if choice.threshold is not None and item.score >= choice.threshold]

    def wrong(some: Sequence[Item]) -> int:
        return sum(is_wrong(exercise.TASK, item, truth[item.sample_id]) for item in some)

    facts = {
        "threshold": choice.threshold,
        "bound": choice.bound,
        "calibration_groups": len({item.group for item in known}),
        "proposed": len(mine),
        "proposed_wrong": wrong(mine),
        "accepted": len(accepted),
        "accepted_wrong": wrong(accepted),
        "accepted_by_class": dict(sorted(Counter(item.kind for item in accepted).items())),
    }
    return as_curated(mine, context), as_curated(accepted, context), facts


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
