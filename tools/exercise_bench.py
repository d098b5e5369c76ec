"""What naming the exercise costs in a live stream, beyond the pose: milliseconds a frame, batch 1, one thread.

    python tools/exercise_bench.py

Frames of a moving body enter `repset.autolabel.recognise.Live` one by one, 33 joints at 30 frames/s; the network is
asked every half second. Processor time is what counts on a machine that others use at the same time.
"""

import time

import numpy as np

from repset.autolabel.recognise import HOP, Live, recogniser
from repset.landmarks import BLAZEPOSE_33

FPS, SECONDS, WARM_UP_S = 30, 300, 5


def main() -> None:
    """Print the mean, and the dearest frame (one on which the network is asked)."""
    rng = np.random.default_rng(0)
    body = rng.uniform(200, 500, (len(BLAZEPOSE_33.joints), 2)).astype(np.float32)
    seen = np.ones(len(body), np.float32)
    live, costs = Live(BLAZEPOSE_33.name, (720, 720)), []
    for frame in range(FPS * (SECONDS + WARM_UP_S)):
        xy = body + np.float32(40 * np.sin(frame / 20))
        begun = time.process_time_ns()
        live.push(frame / FPS, xy, seen)
        costs.append((time.process_time_ns() - begun) / 1e6)
    kept = np.array(costs[FPS * WARM_UP_S :])
    hop = recogniser().spec.seconds * HOP
    print(f"{kept.mean():.3f} ms a frame on average, {np.percentile(kept, 99.5):.2f} ms where the network is asked "
          f"(every {hop:g} s), {len(kept):,} frames")  # fmt: skip


if __name__ == "__main__":
    main()
