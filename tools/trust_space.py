"""What `--angles-3d` is worth: angles in space from the pose model's 3-D positions, and angles of the image plane, both
against the true angle in space of drawn clips with the camera anywhere around.

    python tools/trust_space.py --clips 2
"""

import argparse
from collections import defaultdict

import numpy as np
from trust_rendered import EXERCISES, Doubles, Plan, draw

from repset import angles
from repset.autolabel.label import label_track
from repset.autolabel.ruleset import load_rules
from repset.landmarks import BLAZEPOSE_33
from repset.schema import Stretch

JOINTS = ("elbow", "shoulder", "hip", "knee")


def errors_of(plan: Plan) -> dict[tuple[str, str], Doubles]:
    """(joint, `plane` or `space`) → signed errors in degrees against the true interior angle in space."""
    drawn = draw(plan)
    whole = [Stretch(0, len(drawn.track.time_s), plan.exercise, None, "given")]
    table = label_track("c", drawn.track, whole, load_rules("default"), 0.5, angles_3d=True).angles
    names, frames = np.array(table["name"].to_pylist()), table["frame"].to_numpy()
    values = table["value_deg"].to_numpy()
    found = defaultdict[tuple[str, str], list[Doubles]](list)
    for joint in JOINTS:
        for side in ("left", "right"):
            truth = angles.evaluate(f"{side}_{joint}", drawn.xyz_m, BLAZEPOSE_33.name)
            for kind, name in (("plane", f"{side}_{joint}"), ("space", f"{side}_{joint}{angles.SPACE}")):
                error = values[names == name] - truth[frames[names == name]]
                found[joint, kind].append(error[np.isfinite(error)])
    return {key: np.concatenate(parts) for key, parts in found.items()}


def main() -> None:
    """Print one row a joint."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=2, help="of each exercise")
    options = parser.parse_args()
    gathered = defaultdict[tuple[str, str], list[Doubles]](list)
    for plan in [Plan(name, number, True) for name in EXERCISES for number in range(options.clips)]:
        for key, part in errors_of(plan).items():
            gathered[key].append(part)
    print("| angle | n | image plane: bias | mean error | in space: bias | mean error |\n|---|--:|--:|--:|--:|--:|")
    for joint in JOINTS:
        plane, space = (np.concatenate(gathered[joint, kind]) for kind in ("plane", "space"))
        cells = [f"{part.mean():+.1f}° | {np.abs(part).mean():.1f}°" for part in (plane, space)]
        print(f"| {joint} | {len(space)} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
