"""How far `repset autolabel` can be trusted: counts on real clips and what is made of them, drawn clips with truth.

    python tools/trust.py clips ../shared/data/videos          0 repetitions where nothing is repeated; relations
    python tools/trust.py drawn --clips 3 --planted 4 --plot margin.png

`clips` needs no truth but the manifest: mirrored, faster, slower, half the frames, another size, bars, recompressed, in
the dark, overexposed, grey, grainy, tilted, a frozen second, a loop, two clips joined with something else between them
must give the count that follows. The first run estimates poses (about half an hour on one core), later ones take a
minute. `drawn` renders the sample's motions.
"""

import argparse
from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import trust_clips
import trust_relations as relations
from trust_rendered import EXERCISES, Measured, Plan, limit_deg, run, yaw_deg

from repset.angles import END_ON_SHARE
from repset.exercises import BY_NAME, NAMES, NONE

BETWEEN = ("plank_1 (whole clip)", "hold at the bar (negative_1)")
Tally = dict[str, list[str | None]]
"""Relation → for each time it was tried, None where it held, else what happened."""


def negatives(folder: Path) -> None:
    """Every exercise name on footage in which nothing is repeated."""
    made = trust_clips.negatives(folder)
    wrong = [
        (title, name, found)
        for title, track in made.items()
        for name in NAMES
        if (found := relations.reps_of(track, name))
    ]
    tried = len(made) * len(NAMES)
    print(
        f"\n**Footage without a repetition**: {len(made)} pieces, each under all {len(NAMES)} names: 0 repetitions in"
    )
    print(f"{tried - len(wrong)} of {tried}. Otherwise:\n\n| footage | counted |\n|---|---|")
    by_title = defaultdict(list)
    for title, name, found in wrong:
        by_title[title].append(f"{name} {found}")
    for title, found_names in by_title.items():
        print(f"| {title} | {', '.join(found_names)} |")


def relate(folder: Path, pictures: bool) -> None:
    """The relations, over the clips whose exercise the ontology has."""
    clips = [clip for clip in trust_clips.clips(folder) if clip.exercise not in (None, NONE)]
    tracks = {clip.name: trust_clips.track_of(clip.path) for clip in clips}
    between = {title: trust_clips.negatives(folder)[title] for title in BETWEEN}
    trusted: Tally = defaultdict(list)
    others: Tally = defaultdict(list)
    for clip in clips:
        assert clip.exercise
        tally, track = (trusted if clip.trusted else others), tracks[clip.name]
        count = relations.reps_of(track, clip.exercise)

        def hold(relation: str, other: object, expected: int, exercise: str = clip.exercise, to: Tally = tally) -> None:
            found = relations.reps_of(other, exercise)  # type: ignore[arg-type]
            to[relation].append(None if found == expected else f"{clip.name}: {found} for {expected}")  # noqa: B023

        hold("mirrored track", relations.mirrored(track), count)
        for speed in relations.SPEEDS:
            hold(f"{speed:g} times the speed", relations.at_speed(track, speed), count)
        hold("every other frame of the track", relations.half_rate(track), count)
        for share in (0.25, 0.5, 0.75):
            hold("the track frozen for a second", relations.frozen(track, share), count)
        for start, turn in relations.complete_reps(track, clip.exercise)[:2]:
            for times in (2, relations.LOOPS):
                hold("forward-reversed loop", relations.looped(track, start, turn, times), times)
        for other in clips:
            if other.exercise == clip.exercise and (other.trusted or not clip.trusted):
                both = count + relations.reps_of(tracks[other.name], clip.exercise)
                for third in between.values():
                    hold("two joined, 3 s between", relations.joined(track, third, tracks[other.name]), both)
        for recipe in trust_clips.PICTURES if pictures else ():
            hold(f"pictures: {recipe}", trust_clips.track_of(clip.path, recipe), count)
    _print_tally("Real footage counted by eye with high confidence", trusted)
    _print_tally("Other clips: drawn by a generator, or uncertain by eye", others)


def _print_tally(title: str, tally: Tally) -> None:
    print(f"\n**Relations. {title}**\n\n| relation | held | of | broken |\n|---|--:|--:|---|")
    for relation, results in tally.items():
        broken = [text for text in results if text]
        print(f"| {relation} | {len(results) - len(broken)} | {len(results)} | {'; '.join(broken)} |")
    every = [text for results in tally.values() for text in results]
    share = sum(text is None for text in every) / max(1, len(every))
    print(f"\nHeld in {share:.1%} of {len(every)}.")


def drawn(options: argparse.Namespace) -> None:
    """Counts and angle errors on drawn clips; form beyond the margin of error; joints by their visibility."""
    chosen = _run(EXERCISES, options, options.clips)
    errors = _print_drawn("at the chosen views", chosen)
    around = _run(EXERCISES, options, options.anywhere, anywhere=True)
    _print_drawn("with the camera anywhere around", around)
    judged = [name for name in EXERCISES if limit_deg(name) is not None]
    planted = _run(judged, options, options.planted, planted=True)
    _print_form(planted, errors, around, options.plot)
    _print_visibility([*chosen, *around])
    _print_borders([*chosen, *around])
    _print_oblique(planted)


def _run(
    names: Sequence[str], options: argparse.Namespace, clips: int, anywhere: bool = False, planted: bool = False
) -> list[Measured]:
    numbers = range(options.first, options.first + clips)
    return run([Plan(name, k, anywhere, planted) for name in names for k in numbers], options.jobs)


def _print_drawn(title: str, results: list[Measured]) -> dict[str, float]:
    print(f"\n**Drawn clips {title}**\n\n| exercise | clips | count exact | angle | mean error | scored |")
    print("|---|--:|--:|---|--:|--:|")
    errors: dict[str, float] = {}
    for name in EXERCISES:
        mine = [one for one in results if one.plan.exercise == name]
        if not mine:
            continue
        exact = sum(one.reps == one.true_reps for one in mine)
        found = np.concatenate([one.errors for one in mine])
        errors[name] = float(found.mean()) if len(found) else float("nan")
        scored = float(np.mean([one.scored for one in mine]))
        print(f"| {name} | {len(mine)} | {exact} | {BY_NAME[name].signal} | {errors[name]:.1f}° | {scored:.2f} |")
    exact = sum(one.reps == one.true_reps for one in results)
    for signal in ("knee", "elbow"):
        named = [error for name, error in errors.items() if BY_NAME[name].signal == signal]
        print(f"\nMedian over the exercises, {signal}: {np.nanmedian(named):.1f}°.", end="")
    print(f"\nCount exact in {exact} of {len(results)} clips ({exact / max(1, len(results)):.1%}).")
    wrong = [f"{_clip(one)}: {one.reps} for {one.true_reps}" for one in results if one.reps != one.true_reps]
    print("Not exact:", "; ".join(wrong) or "none")
    return errors


def _clip(one: Measured) -> str:
    return f"{one.plan.exercise} {one.plan.number} at {one.azimuth_deg:.0f}°"


def _print_form(form: list[Measured], errors: dict[str, float], around: list[Measured], plot: Path | None) -> None:
    """Margin: true angle minus limit, positive where the repetition is good."""
    rows: list[tuple[str, float, str]] = []
    for one in form:
        name = one.plan.exercise
        limit, sign = limit_deg(name), 1 if BY_NAME[name].effort == "max" else -1
        assert limit is not None
        rows += [(name, sign * (deg - limit), verdict) for deg, verdict in one.verdicts if one.scorable]
    print(
        "\n**Form: planted deviations up to 30° on both sides of the limit, beyond twice the measured angle error**\n"
    )
    print("| exercise | repetitions from where the rule holds | judged | faults found | good ones passed |")
    print("|---|--:|--:|--:|--:|")
    total = np.zeros(6, int)
    for name in [*dict.fromkeys(row[0] for row in rows)]:
        mine = [row for row in rows if row[0] == name]
        told = [row for row in mine if row[2] in ("correct", "incorrect")]
        clear = [row for row in told if abs(row[1]) > 2 * errors[name]]
        bad, good = [row for row in clear if row[1] < 0], [row for row in clear if row[1] > 0]
        caught, passed = sum(row[2] == "incorrect" for row in bad), sum(row[2] == "correct" for row in good)
        total += (len(told), len(mine), caught, len(bad), passed, len(good))
        print(f"| {name} | {len(mine)} | {len(told)} | {caught} of {len(bad)} | {passed} of {len(good)} |")
    print(f"| all | {total[1]} | {total[0]} | {total[2]} of {total[3]} | {total[4]} of {total[5]} |")
    share = total[0] / max(1, total[1])
    print(f"\nJudged {share:.1%}, faults found {total[2] / max(1, total[3]):.1%}, good ones passed", end=" ")
    print(f"{total[4] / max(1, total[5]):.1%}.")
    for title, clips in (("these clips", form), ("the camera anywhere", around)):
        elsewhere = [one for one in clips if limit_deg(one.plan.exercise) is not None and not one.scorable]
        told = [verdict for one in elsewhere for _, verdict in one.verdicts]
        named = [
            f"{_clip(one)} ({deg:.0f}°)" for one in elsewhere for deg, verdict in one.verdicts if verdict == "correct"
        ]
        print(f"From where the rule does not hold, {title}: called correct {len(named)} of {len(told)}", end="")
        print(f": {', '.join(named)} (true angle)." if named else ".")
    if plot is not None:
        _plot(rows, plot)


def _print_visibility(results: list[Measured]) -> None:
    """What a joint's visibility says about its place (`repset.pose_features.GUESSED_BELOW`)."""
    if not results:
        return
    seen, far = np.concatenate([one.joints for one in results]).T
    print("\n**How far a joint lies from the truth, by its visibility**\n")
    print("| visibility | joints | median distance, in trunks | farther than a fifth |\n|---|--:|--:|--:|")
    for low, high in pairwise((0, 0.1, 0.15, 0.2, 0.3, 0.5, 0.7, 0.9, 1.01)):
        inside = far[(seen >= low) & (seen < high)]
        if len(inside):
            apart = f"{np.median(inside):.2f} | {(inside > 0.2).mean():.1%}"
            print(f"| {low:.2f}–{min(high, 1):.2f} | {len(inside)} | {apart} |")


def _print_borders(results: list[Measured]) -> None:
    """Where angles and views stop being told: `repset.angles.END_ON_SHARE`, `repset.autolabel.view.BORDER_DEG`."""
    print(f"\n**Elbows by how long their shorter-seen bone looks (unknown below {END_ON_SHARE} of its length)**\n")
    print("| exercise | angles below | mean error | angles above | mean error |\n|---|--:|--:|--:|--:|")
    for name in [*dict.fromkeys(one.plan.exercise for one in results if len(one.elbows))]:
        share, error = np.concatenate([one.elbows for one in results if one.plan.exercise == name]).T
        parts = [error[share < END_ON_SHARE], error[share >= END_ON_SHARE]]
        told = " | ".join(f"{len(part)} | {part.mean():.1f}°" if len(part) else "0 | –" for part in parts)
        print(f"| {name} | {told} |")
    yaw = np.array([one.yaw_error_deg for one in results])
    yaw = yaw[np.isfinite(yaw)]
    if len(yaw):
        print(
            f"\nYaw of {len(yaw)} clips: wrong by {np.median(np.abs(yaw)):.1f}° (median), bias {np.median(yaw):+.1f}°."
        )


def _print_oblique(planted: list[Measured]) -> None:
    """How far clips that are taken for three quarter are truly turned: what oblique limits have to allow for."""
    print("\n**Planted clips taken for three quarter**\n\n| exercise | clips | true yaw, median |\n|---|--:|--:|")
    for name in [*dict.fromkeys(one.plan.exercise for one in planted)]:
        true = [
            yaw_deg(one.azimuth_deg) for one in planted if one.plan.exercise == name and one.view == "three_quarter"
        ]
        if true:
            print(f"| {name} | {len(true)} | {np.median(true):.0f}° |")


def _plot(rows: list[tuple[str, float, str]], path: Path) -> None:
    import matplotlib.pyplot as plt

    told = [(margin, verdict == "incorrect") for _, margin, verdict in rows if verdict in ("correct", "incorrect")]
    margins, faults = np.array([m for m, _ in told]), np.array([f for _, f in told])
    edges = np.arange(-30, 31, 5)
    figure, axes = plt.subplots(figsize=(8, 4.5), layout="constrained")
    for low, high in pairwise(edges):
        inside = (margins >= low) & (margins < high)
        if inside.any():
            share = faults[inside].mean()
            axes.bar((low + high) / 2, share, width=4.4, color="#c2410c" if high <= 0 else "#2563eb")
            axes.text((low + high) / 2, share + 0.02, f"{inside.sum()}", ha="center", fontsize=9, color="#555")
    axes.axvline(0, color="#111", lw=1.2)
    axes.set(xlabel="margin: true angle against the limit, degrees (left: a fault)", ylabel="share called incorrect",
             ylim=(0, 1.12), xlim=(-31, 31), title="Planted faults, by how far they miss the limit")  # fmt: skip
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)


def main() -> None:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = parser.add_subparsers(dest="part", required=True)
    real = parts.add_parser("clips")
    real.add_argument("folder", type=Path)
    real.add_argument("--no-pictures", action="store_true", help="leave out the relations that need new poses")
    made = parts.add_parser("drawn")
    made.add_argument("--clips", type=int, default=3, help="of each exercise at its views")
    made.add_argument("--anywhere", type=int, default=2, help="of each exercise with the camera anywhere")
    made.add_argument("--planted", type=int, default=4, help="of each exercise that has a limit at the turn")
    made.add_argument("--first", type=int, default=0, help="number of the first clip: others are other clips")
    made.add_argument("--jobs", type=int, default=2)
    made.add_argument("--plot", type=Path)
    options = parser.parse_args()
    if options.part == "drawn" and options.clips < 1:
        made.error("--clips: expected at least 1, since --planted is held against the angle errors that they have")
    if options.part == "clips":
        negatives(options.folder)
        relate(options.folder, not options.no_pictures)
    else:
        drawn(options)


if __name__ == "__main__":
    main()
