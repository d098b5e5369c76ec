"""Automatic repetitions and verdicts held against a set's own: matched by overlap in time, never by number."""

from collections.abc import Mapping, Sequence
from typing import Any

from repset.autolabel import intervals
from repset.autolabel.form import CORRECT, INCORRECT, UNSCORABLE

Row = Mapping[str, Any]

SET_OVERLAP = 0.5  # intersection over union from which two stretches are the same set
REP_OVERLAP = 0.3  # ... and two intervals the same repetition: annotators disagree about pauses, not about turns
NOT_COUNTED = "not_counted"
VERDICTS = (CORRECT, INCORRECT, UNSCORABLE, NOT_COUNTED)


def overlap(a: Row, b: Row) -> float:
    """Intersection over union of two half-open frame intervals."""
    common = min(a["end"], b["end"]) - max(a["start"], b["start"])
    return max(0.0, common / (max(a["end"], b["end"]) - min(a["start"], b["start"]))) if common > 0 else 0.0


def match(truth: Sequence[Row], found: Sequence[Row], minimum: float) -> list[tuple[Row, Row | None]]:
    """Each true interval with the automatic one that overlaps it most (each used once), or None."""
    ranked = sorted(
        ((overlap(t, f), i, j) for i, t in enumerate(truth) for j, f in enumerate(found)), key=lambda x: (-x[0], x[1:])
    )
    partner: dict[int, int] = {}
    for share, i, j in ranked:
        if share >= minimum and i not in partner and j not in partner.values():
            partner[i] = j
    return [(row, found[partner[i]] if i in partner else None) for i, row in enumerate(truth)]


def count_pairs(
    sets: Sequence[Row], reps: Sequence[Row], auto_sets: Sequence[Row], auto_reps: Sequence[Row]
) -> list[dict[str, Any]]:
    """True and automatic number of repetitions of each set of one sample.

    Args:
        sets, reps: the set's own rows; a set without a stated number is counted from its repetitions, and
            repetitions without any set are those of the clip.
    Returns: rows of exercise, truth, found (None: not counted).
    """
    own = [row for row in sets if row["exercise"] != "none"]
    if not own and reps:
        counted = [row["reps"] for row in auto_sets if row["exercise"] == reps[0]["exercise"]]
        total = sum(number or 0 for number in counted) if any(number is not None for number in counted) else None
        return [{"exercise": reps[0]["exercise"], "truth": len(reps), "found": total}]
    rows = []
    for one, other in match(own, [row for row in auto_sets if row["exercise"] != "none"], SET_OVERLAP):
        inside = [rep for rep in reps if one["start"] <= rep["turn"] < one["end"]]
        number = one["reps"] if one["reps"] is not None else (len(inside) or None)
        if number is None:
            continue
        found = other["reps"] if other is not None else None
        rows.append({"exercise": one["exercise"], "truth": int(number), "found": found})
    return rows


def count_scores(pairs: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Mean absolute error, off-by-one rate and bias of repetition counts over sets; None without truth.

    off_by_one is the share of sets that are off by one at most (OBO of the counting literature).
    """
    if not pairs:
        return None
    errors = [row["found"] - row["truth"] for row in pairs if row["found"] is not None]
    count = len(errors)
    return {
        "n": len(pairs),
        "coverage": round(count / len(pairs), 4),
        "true_reps": sum(row["truth"] for row in pairs),
        "mean_absolute_error": round(sum(abs(e) for e in errors) / count, 4) if count else None,
        "mean_absolute_error_interval": intervals.of_mean_size([float(abs(e)) for e in errors]),
        "exact": round(sum(e == 0 for e in errors) / count, 4) if count else None,
        "exact_interval": intervals.of_share(sum(e == 0 for e in errors), count),
        "off_by_one": round(sum(abs(e) <= 1 for e in errors) / count, 4) if count else None,
        "off_by_one_interval": intervals.of_share(sum(abs(e) <= 1 for e in errors), count),
        "bias": round(sum(errors) / count, 4) if count else None,
    }


def turn_errors(reps: Sequence[Row], auto_reps: Sequence[Row]) -> list[tuple[str, float | None]]:
    """Exercise and distance of the turning points in seconds (None: repetition not found), one a true repetition."""
    return [
        (str(rep["exercise"]), abs(rep["turn_s"] - other["turn_s"]) if other is not None else None)
        for rep, other in match(reps, auto_reps, REP_OVERLAP)
    ]


def turn_scores(errors: Sequence[float | None]) -> dict[str, Any] | None:
    """How many true repetitions were found and how far off their turns lie."""
    if not errors:
        return None
    known = sorted(error for error in errors if error is not None)
    middle = round(known[len(known) // 2], 4) if known else None
    return {"n": len(errors), "found": round(len(known) / len(errors), 4), "turn_error_median_s": middle}


def verdict_pairs(form: Sequence[Row], auto_form: Sequence[Row]) -> list[dict[str, Any]]:
    """True and automatic verdict of each true repetition of one sample, with exercise, view and the true fault."""
    own = [row for row in form if row["level"] == "rep"]
    other = [row for row in auto_form if row["level"] == "rep"]
    return [
        {
            "exercise": row["exercise"],
            "truth": row["verdict"],
            "found": twin["verdict"] if twin is not None else NOT_COUNTED,
            "view": twin["view"] if twin is not None else "unknown",
            "fault": row["rule_id"],
        }
        for row, twin in match(own, other, REP_OVERLAP)
    ]


def verdict_scores(pairs: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Agreement of verdicts; None without truth.

    coverage is the share of true repetitions that got a verdict other than unscorable; agreement is over those;
    faults_found and false_alarms are the shares of faulty and of correct repetitions called incorrect.
    """
    if not pairs:
        return None
    judged = [row for row in pairs if row["found"] in (CORRECT, INCORRECT)]
    bad = [row["found"] for row in judged if row["truth"] == INCORRECT]
    good = [row["found"] for row in judged if row["truth"] == CORRECT]
    return {
        "n": len(pairs),
        "coverage": round(len(judged) / len(pairs), 4),
        "agreement": _share([row["found"] == row["truth"] for row in judged]),
        "agreement_interval": intervals.of_share(sum(row["found"] == row["truth"] for row in judged), len(judged)),
        "faults_found": _share([found == INCORRECT for found in bad]),
        "false_alarms": _share([found == INCORRECT for found in good]),
    }


def confusion(pairs: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, int]]:
    """Counts: true verdict → automatic verdict."""
    return {
        truth: {found: sum(p["truth"] == truth and p["found"] == found for p in pairs) for found in VERDICTS}
        for truth in (CORRECT, INCORRECT, UNSCORABLE)
        if any(p["truth"] == truth for p in pairs)
    }


def _share(hits: Sequence[bool]) -> float | None:
    return round(sum(hits) / len(hits), 4) if hits else None
