"""Our segmentation recipe beside the published one, and what the loop is worth: on the rendered sample's test photos.

    python tools/recipe_bench.py recipes --project . --out bench
    python tools/recipe_bench.py arms --project . --out bench

The project must hold the seed table of the source: run `dvc repro` first, or pull, index, check, split and seed it.

recipes: the published recipe (pipelines/real.yaml, at the size and steps of params.yaml) with three learning rates, and
ours (params.yaml, group train), over the same seeds. The rate is chosen on the fold validation; the fold test is scored
once a training. The published recipe's encoder begins untrained, since its ImageNet weights would have to be fetched:
--fetch fetches them, --same-encoder gives it ours with its weights, so that what is left is the recipe.

arms: a quarter of the training groups keeps its gold, the others lose it. Trained on that quarter alone (bootstrap),
with the accepted proposals, with all proposals, and with the truth of the others (oracle): the same recipe, steps and
seeds. A fifth arm gets the proposals that are right (by the truth, which no acceptance knows): what the best filter is
worth. Acceptance is the stage's own (repset.curate), calibrated on the fold calibration. models/segmentation/README.md
says with which project and steps: with few photos nothing is accepted, with few steps more labels show no gain. The
bootstrap itself proposes, or with --proposer-size a network that learned from the same quarter in larger images: more
exact, slower, and scored beside the arms, all of which keep --size.

Every training is written to its own folder and never done twice, so a run that was stopped goes on; results.json holds
whatever is there, with the steps that were run (whole epochs; of an arm the nearest to the limit) and their seconds
(since the last stop, if any).
With other steps or another size than params.yaml the results say so.
"""

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from repset.curate.acceptance import is_sure, pool_of, pools_of
from repset.curate.acceptance_items import Item, is_wrong, items_of
from repset.errors import DataError, RepsetError
from repset.learn import segmentation
from repset.learn.card import data_kind, load_card
from repset.learn.data import CLASSES, TASK, MaskedImage, MediaReader, index_mask, read_masked_images
from repset.learn.metrics import Counts
from repset.learn.segmentation_scores import Tally, difference_interval, interval
from repset.learn.segmenter import MODEL, Segmenter
from repset.params import AcceptParams, SegmentationTrain, TrainParams, load_params, load_yaml, parse
from repset.project import Project
from repset.records import atomic_folder, read_json, read_rows, sha256_bytes, write_json, write_table

RATES = (0.0001, 0.0003, 0.001)
ARMS = ("bootstrap", "accepted", "unfiltered", "right", "oracle")
GOLD_SHARE = 0.25
BARS = (0.10, 0.08, 0.03)
"""What is aimed at, in mIoU over the muscles: the published recipe above background everywhere, ours above it, and the
lower end of the interval of that difference."""
DEPTH = ("encoder_depth", "decoder_channels")
LEARNED = ("sample_id", "target", "value", "blob", "tier")
Rows = list[dict[str, Any]]


def main() -> None:
    """Train what is missing, then print and write the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=("recipes", "arms"))
    parser.add_argument("--project", type=Path, default=Path())
    parser.add_argument("--source", default="sample_roboflow")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, help="[default: train.segmentation.max_steps]")
    parser.add_argument("--size", type=int, help="[default: train.segmentation.size_px]")
    parser.add_argument("--proposer-size", type=int, help="arms: of the network that proposes [default: the bootstrap]")
    parser.add_argument("--rates", type=float, nargs="+", default=RATES, help="of the published recipe")
    encoder = parser.add_mutually_exclusive_group()
    encoder.add_argument("--fetch", action="store_true", help="ImageNet weights for the published recipe's encoder")
    encoder.add_argument("--same-encoder", action="store_true", help="our encoder and weights in the published recipe")
    options = parser.parse_args()
    if options.part == "recipes" and options.proposer_size:
        parser.error("--proposer-size belongs to arms: recipes propose nothing")
    if options.part == "arms" and (options.fetch or options.same_encoder):
        parser.error("--fetch and --same-encoder belong to recipes: arms train ours alone")
    project = Project(options.project.resolve())
    begins = "fetched" if options.fetch else "ours" if options.same_encoder else "untrained"
    bench = Bench(project, options.source, options.out.resolve(), options.steps, options.size, begins)
    if options.part == "recipes":
        found = bench.recipes(options.seeds, options.rates)
    else:
        found = bench.arms(options.seeds, options.proposer_size)
    path = options.out / "results.json"
    results = read_json(path) if path.is_file() else {}
    part = options.part if begins == "untrained" else f"{options.part}, encoder {begins}"
    if options.part == "arms" and options.proposer_size:
        part += f", proposer {options.proposer_size} px"
    write_json(path, {**results, part: found})
    print(json.dumps(found, indent=2))


class Bench:
    """One source's trainings and their scores.

    Args:
        encoder: of the published recipe: its own, untrained | its own, weights fetched | ours with its weights.
    """

    def __init__(
        self,
        project: Project,
        source: str,
        out: Path,
        steps: int | None,
        size: int | None,
        encoder: str = "untrained",
    ) -> None:
        self.project, self.source, self.out, self.encoder = project, source, out, encoder
        self.table = project.seed(TASK, source) / "table.parquet"
        if not self.table.is_file():
            raise DataError(self.table, "the seed table", "no file", "Run dvc repro in this project first")
        self.rows = read_rows(self.table, "curated")
        self.params = load_params(project)
        own = self.params.train.segmentation
        limit = steps or own.max_steps
        # The steps end a training, never the epochs: each has at least one.
        self.budget = {"max_steps": limit, "epochs": limit or own.epochs, "size_px": size or own.size_px}

    def recipes(self, seeds: int, rates: Sequence[float]) -> dict[str, Any]:
        """Ours, published with each rate, and the difference to the best published one."""
        recipes = {"ours": self.ours()} | {f"published {rate:g}": self.published(rate) for rate in rates}
        scores = {
            name: [self.train(f"{name} seed {seed}", self.rows, recipe, seed) for seed in range(seeds)]
            for name, recipe in recipes.items()
        }
        judged = {name: float(np.mean([run["validation_miou"] for run in runs])) for name, runs in scores.items()}
        best = max((name for name in scores if name != "ours"), key=lambda name: judged[name])
        difference = compare(scores["ours"], scores[best])
        return {
            **self.facts(seeds),
            "published_encoder": self.encoder,
            "recipes": {name: {"validation_miou": judged[name], **summary(runs)} for name, runs in scores.items()},
            "published_chosen_on_validation": best,
            "ours_minus_published": difference,
            "bars": {
                # Background everywhere has an IoU of 0 in every muscle, so the published recipe's own is its lead.
                f"published over the muscles >= {BARS[0]}": mean(scores[best], "miou_muscles") >= BARS[0],
                f"ours - published >= {BARS[1]}": difference["miou_muscles"] >= BARS[1],
                f"lower end of its interval > {BARS[2]}": difference["miou_muscles_interval_95"][0] > BARS[2],
            },
        }

    def arms(self, seeds: int, proposer_size: int | None = None) -> dict[str, Any]:
        """The arms, and how each compares with bootstrap.

        Args:
            proposer_size: side in pixels of the images of the network that proposes; None: the bootstrap does.
        """
        scores: dict[str, list[dict[str, Any]]] = {arm: [] for arm in ARMS}
        taken, proposers = [], []
        for seed in range(seeds):
            gold, rest = quarter(self.rows, seed)
            first = self.train(f"arm bootstrap seed {seed}", gold, evened(self.ours(), gold), seed)
            scores["bootstrap"].append(first)
            proposer = first
            if proposer_size not in (None, self.budget["size_px"]):
                recipe = self.ours().model_copy(update={"size_px": proposer_size})
                proposer = self.train(f"proposer seed {seed}", gold, recipe, seed)
            proposers.append(proposer)
            proposed = self.propose(Path(proposer["folder"]))
            more, facts = sorted_out(TASK, proposed, self.rows, rest, self.params.accept)
            taken.append(facts)
            for arm, rows in (more | {"oracle": rest}).items():
                if not rows:
                    scores[arm].append(first)  # the same rows and seed give the same weights
                    continue
                table = gold + rows
                scores[arm].append(self.train(f"arm {arm} seed {seed}", table, evened(self.ours(), table), seed))
        gain = {arm: compare(scores[arm], scores["bootstrap"]) for arm in ARMS[1:]}
        lead = compare(scores["accepted"], scores["unfiltered"])
        return {
            **self.facts(seeds),
            "gold_share": GOLD_SHARE,
            "proposer": {"size_px": proposer_size or self.budget["size_px"], **summary(proposers)},
            "acceptance": taken,
            "arms": {arm: summary(runs) for arm, runs in scores.items()},
            "minus_bootstrap": gain,
            "accepted_minus_unfiltered": lead,
            "bars": {
                "accepted - bootstrap, lower end > 0": gain["accepted"]["miou_muscles_interval_95"][0] > 0,
                "accepted > unfiltered": lead["miou_muscles"] > 0,
            },
        }

    def facts(self, seeds: int) -> dict[str, Any]:
        """What the numbers are on."""
        kind = data_kind(self.project, [self.source])
        folds = Counter(fold for fold, _ in {(row["fold"], row["group"]) for row in self.rows})
        groups = {"groups": dict(sorted(folds.items()))}
        return {"source": self.source, "data": kind, "fold": "test", **groups, "seeds": seeds, **self.budget}

    def ours(self) -> SegmentationTrain:
        """params.yaml, group train, within the budget."""
        return self.params.train.segmentation.model_copy(update=self.budget)

    def published(self, rate: float) -> SegmentationTrain:
        """pipelines/real.yaml within the budget."""
        path = self.project.pipelines / "real.yaml"
        own = parse(type(self.params), load_yaml(path), path).train.segmentation
        ours = self.params.train.segmentation
        begins: dict[str, Any] = {
            "untrained": {"encoder_weights": None},
            "fetched": {},
            "ours": {key: getattr(ours, key) for key in ("encoder", "encoder_weights", *DEPTH)},
        }[self.encoder]
        return own.model_copy(update={**self.budget, **begins, "learning_rate": rate})

    def train(self, name: str, rows: Rows, recipe: SegmentationTrain, seed: int) -> dict[str, Any]:
        """Train and score, unless that was done: test scores by group, the validation score, and the folder."""
        key = sha256_bytes(json.dumps([name, recipe.model_dump(mode="json"), seed, digest(rows)]).encode())[:12]
        folder = self.out / f"{name.replace(' ', '_')}_{key}"
        if not (folder / "scores.json").is_file():
            print(f"training {name} ...", flush=True)
            with atomic_folder(folder) as temporary:
                table = write_table(temporary / "table.parquet", "curated", rows)
                group = self.params.train.model_copy(update={"seed": seed, "segmentation": recipe})
                assert isinstance(group, TrainParams)
                begun = time.perf_counter()
                segmentation.fit(self.project, {self.source: table}, group, temporary / "model", "cpu", shown)
                seconds = time.perf_counter() - begun
                tally = self.score(temporary / "model")
                card = load_card(temporary / "model", MODEL)
                by_group = {group: counts.tolist() for group, counts in sorted(tally.confusion.items())}
                validation = card.training.get("validation/miou")
                cost = {"steps": card.training["steps"], "seconds": round(seconds, 1)}
                scores = {"validation_miou": validation, **cost, **tally.scores(), "by_group": by_group}
                write_json(temporary / "scores.json", scores)
        found: dict[str, Any] = read_json(folder / "scores.json")
        muscles, nothing = found["miou_muscles"], found["baseline"]["miou"]
        print(f"{name}: mIoU {found['miou']:.3f}, muscles {muscles:.3f}, all background {nothing:.3f}", flush=True)
        return {**found, "folder": str(folder)}

    def propose(self, folder: Path) -> Rows:
        """Proposals of a training's network for every image, kept in its folder."""
        kept = folder / "proposals.parquet"
        if not kept.is_file():
            rows = segmentation.propose(self.project, folder / "model", TASK, self.source, "cpu", shown)
            write_table(kept, "proposals", rows)
        return read_rows(kept, "proposals")

    def score(self, model: Path) -> Tally:
        """The fold test with its true masks."""
        tally, reader = Tally(CLASSES), MediaReader(self.project)
        segmenter = Segmenter(model, "cpu")
        for item in self.images("test"):
            image = reader.image(item)
            truth, _ = index_mask(item.masks, CLASSES, image.shape[0], image.shape[1], item.sample_id)
            labels, p = next(segmenter.label_with_probability([image]))
            tally.add(item.group, truth, labels, p)
        return tally

    def images(self, fold: str) -> Iterator[MaskedImage]:
        """Images of a fold with their truth."""
        images = read_masked_images(self.table, self.source, CLASSES)
        yield from (image for image in images if image.fold == fold)


def evened(recipe: SegmentationTrain, rows: Rows) -> SegmentationTrain:
    """With the whole epochs nearest to the limit of steps, so that arms of unlike size are trained about as long.

    A training ends with the last whole epoch within its limit: up to an epoch below it, many steps of a large arm.
    """
    train = [row for row in rows if row["fold"] == "train"]
    images = len({(row["sample_id"], json.loads(row["target"]).get("variant")) for row in train})
    lonely = images > recipe.batch and images % recipe.batch == 1  # not a batch (repset.learn.fit)
    epoch = -(-images // recipe.batch) - lonely
    if recipe.max_steps is None or epoch > recipe.max_steps:
        return recipe
    return recipe.model_copy(update={"max_steps": epoch * round(recipe.max_steps / epoch)})


def quarter(rows: Rows, seed: int) -> tuple[Rows, Rows]:
    """Rows that keep their gold (a quarter of the training groups, and all of the other folds), and the rest."""
    train = {row["group"] for row in rows if row["fold"] == "train"}
    groups = sorted(train, key=lambda group: sha256_bytes(f"{seed} {group}".encode()))
    kept = set(groups[: round(GOLD_SHARE * len(groups))])
    gold = [row for row in rows if row["fold"] != "train" or row["group"] in kept]
    return gold, [row for row in rows if row["fold"] == "train" and row["group"] not in kept]


def sorted_out(
    task: str, proposed: Rows, rows: Rows, rest: Rows, params: AcceptParams
) -> tuple[dict[str, Rows], dict[str, Any]]:
    """By arm, what of the proposals for the rest is learned from, as rows of a curated table; how acceptance went."""
    items = items_of(task, proposed, {row["sample_id"]: row for row in rows})
    truth: dict[str, Rows] = {}
    for row in rows:
        truth.setdefault(row["sample_id"], []).append(row)
    wrong = {id(item): is_wrong(task, item, truth[item.sample_id]) for item in items}
    known = [item for item in items if item.fold == "calibration"]
    pools = pools_of([(item, wrong[id(item)]) for item in known], params)
    context = {row["sample_id"]: row for row in rest}
    mine = [item for item in items if item.sample_id in context]
    accepted = [item for item in mine if (pool := pool_of(item, pools)) and is_sure(item, pool)]
    facts = {
        "pools": [{"classes": list(pool.kinds), **asdict(pool.choice)} for pool in pools],
        "calibration_groups": len({item.group for item in known}),
        "proposed": len(mine),
        "proposed_wrong": sum(wrong[id(item)] for item in mine),
        "accepted": len(accepted),
        "accepted_wrong": sum(wrong[id(item)] for item in accepted),
    }
    taken = {"accepted": accepted, "unfiltered": mine, "right": [item for item in mine if not wrong[id(item)]]}
    return {arm: as_curated(chosen, context) for arm, chosen in taken.items()}, facts


def as_curated(items: Sequence[Item], context: Mapping[str, dict[str, Any]]) -> Rows:
    """Proposals as labels: what `repset curate` would make of them."""
    own = ("sample_id", "source", "group", "fold", "official_split", "task", "media_sha256")
    said = {"tier": "accepted", "origin": "model"}
    return [
        {key: context[item.sample_id].get(key) for key in own}
        | {key: row[key] for key in ("target", "value", "blob", "origin_hash")}
        | said
        for item in items
        for row in item.rows
    ]


def summary(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Means over the seeds, and the interval over groups of all seeds together."""
    return {
        "miou": mean(runs, "miou"),
        "miou_interval_95": interval(together(runs)),
        "miou_by_seed": [run["miou"] for run in runs],
        "steps_by_seed": [run["steps"] for run in runs],
        "seconds": mean(runs, "seconds"),
        "miou_muscles": mean(runs, "miou_muscles"),
        "all_background": runs[0]["baseline"]["miou"],
        "iou": {name: float(np.mean([run["iou"][name] or 0 for run in runs])) for name in runs[0]["iou"]},
        "boundary_f1": float(np.mean([run["boundary_f1"]["mean"] or 0 for run in runs])),
        "calibration_error": float(np.mean([run["calibration_error"]["all"] for run in runs])),
    }


def compare(one: Sequence[Mapping[str, Any]], other: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Difference of two lists of runs, the same groups drawn for both."""
    return {
        "miou": mean(one, "miou") - mean(other, "miou"),
        "miou_interval_95": difference_interval(together(one), together(other), first=0),
        "miou_muscles": mean(one, "miou_muscles") - mean(other, "miou_muscles"),
        "miou_muscles_interval_95": difference_interval(together(one), together(other)),
    }


def mean(runs: Sequence[Mapping[str, Any]], key: str) -> float:
    """Over the seeds."""
    return float(np.mean([run[key] for run in runs]))


def together(runs: Sequence[Mapping[str, Any]]) -> dict[str, Counts]:
    """Group → counts added up over the seeds."""
    return {group: np.sum([run["by_group"][group] for run in runs], axis=0) for group in runs[0]["by_group"]}


def digest(rows: Rows) -> str:
    """Which rows were learned from."""
    return sha256_bytes(repr([[row[key] for key in LEARNED] for row in rows]).encode())


@lru_cache(maxsize=1)  # a batch says the same for each of its pictures: one line
def shown(done: int, total: int, label: str) -> None:
    """A line every so often, for a log."""
    if done == total or done % 25 == 0:
        print(f"  {done}/{total} {label}", flush=True)


if __name__ == "__main__":
    try:
        main()
    except RepsetError as error:
        sys.exit(f"recipe_bench: {error}")
    except KeyboardInterrupt:
        sys.exit("recipe_bench: stopped. What was finished is kept; run the same command again to go on.")
