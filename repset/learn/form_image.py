"""The ancestor of the form classifier: a small network that calls single pictures correct or incorrect.

As in the project this one grew out of, every frame of a repetition bears its verdict, and frames of one clip lie on
both sides of a random split. The honest arm is the same network on the same frames with whole groups on one side. Its
layers were not published; these are three convolutions and two dense ones, as is usual for such a network.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from repset.errors import DataError
from repset.learn import Progress, silent
from repset.learn.form_pose import Rep, load_reps
from repset.project import Project
from repset.video import FrameStore

SIZE_PX = 64
STEPS = 300
BATCH = 32
TEST_SHARE = 0.25
"""Of the frames, in the random split."""

LEARNING_RATE = 1e-3
BOTH = ("correct", "incorrect")


def network() -> nn.Sequential:
    """(N, 3, SIZE_PX, SIZE_PX) pictures → (N, 2) logits."""
    layers: list[nn.Module] = []
    for wide, narrow in ((3, 16), (16, 32), (32, 64)):
        layers += [nn.Conv2d(wide, narrow, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(
        *layers, nn.Flatten(), nn.Linear(64 * (SIZE_PX // 8) ** 2, 64), nn.ReLU(), nn.Dropout(0.5), nn.Linear(64, 2)
    )


def compare_splits(
    project: Project, tables: Mapping[str, Path], seed: int = 7, progress: Progress = silent
) -> dict[str, Any]:
    """Train on a random split of frames, as the ancestor did, and on whole groups; score both.

    Returns: for `naive` and `honest` the share of test frames and of test repetitions named right, the number of
        each, and `commonest`: the share of the commonest verdict among the test frames. For `naive`, a repetition is
        judged by its test frames.
    Raises: DataError if no source has pictures of repetitions with a gold verdict in train and test.
    """
    reps, _ = load_reps(project, tables)
    gold = [rep for rep in reps if rep.is_gold and rep.verdict in BOTH]
    pictures, owner = _pictures(project, gold, progress)
    test = np.array([gold[k].fold == "test" for k in owner], bool)
    train = np.array([gold[k].fold == "train" for k in owner], bool)
    truth = np.array([BOTH.index(gold[k].verdict) for k in owner], np.int64)
    if not test.any() or len(set(truth[train].tolist())) < 2:
        where = ", ".join(tables)
        raise DataError(where, "pictures of gold repetitions, both verdicts in train and some in test", "none",
                        "Name a source whose frames are indexed")  # fmt: skip
    random = np.random.default_rng(seed).random(len(owner))
    chosen = random < TEST_SHARE
    return {
        "frames": len(owner),
        "repetitions": len(gold),
        "naive": _arm(pictures, truth, owner, ~chosen, chosen, seed, progress),
        "honest": _arm(pictures, truth, owner, train, test, seed, progress),
    }


def _pictures(
    project: Project, reps: Sequence[Rep], progress: Progress
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """(F, 3, SIZE_PX, SIZE_PX) frames, 0 to 1, and the repetition of each (F,)."""
    stores = {source: FrameStore(project.index(source)) for source in {rep.source for rep in reps}}
    pictures, owner = [], []
    for k, rep in enumerate(reps):
        for row in stores[rep.source].rows(rep.sample_id):
            if rep.frames[0] <= row["frame"] < rep.frames[1] and not row["variant"]:
                image = cv2.resize(stores[rep.source].image(row), (SIZE_PX, SIZE_PX), interpolation=cv2.INTER_AREA)
                pictures.append(image.transpose(2, 0, 1).astype(np.float32) / 255)
                owner.append(k)
        progress(k + 1, len(reps), "form pictures")
    shape = (0, 3, SIZE_PX, SIZE_PX)
    return np.stack(pictures) if pictures else np.zeros(shape, np.float32), np.array(owner, np.int64)


def _arm(
    pictures: npt.NDArray[np.float32], truth: npt.NDArray[np.int64], owner: npt.NDArray[np.int64],
    train: npt.NDArray[np.bool_], test: npt.NDArray[np.bool_], seed: int, progress: Progress,
) -> dict[str, Any]:  # fmt: skip
    """Train on some frames and score others."""
    torch.manual_seed(seed)
    torch.set_num_threads(1)  # a network this small only waits for a second one
    net, rng = network(), np.random.default_rng(seed)
    optimiser = torch.optim.Adam(net.parameters(), LEARNING_RATE)
    weight = torch.from_numpy((1 / np.bincount(truth[train], minlength=2)).astype(np.float32))
    rows = np.flatnonzero(train)
    net.train()
    for step in range(STEPS):
        batch = rng.choice(rows, BATCH)
        optimiser.zero_grad()
        logits = net(torch.from_numpy(pictures[batch]))
        loss = nn.functional.cross_entropy(logits, torch.from_numpy(truth[batch]), weight)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        progress(step + 1, STEPS, "form ancestor")
    net.eval()
    asked = np.flatnonzero(test)
    with torch.inference_mode():
        p = torch.cat([net(torch.from_numpy(pictures[part])).softmax(dim=1)[:, 1] for part in np.array_split(asked, 8)])
    wrong = p.numpy()
    right = (wrong > 0.5) == (truth[asked] == 1)
    mine = owner[asked]
    by_rep = [bool((wrong[mine == k].mean() > 0.5) == (truth[asked][mine == k][0] == 1)) for k in np.unique(mine)]
    counts = np.bincount(truth[asked], minlength=2)
    return {
        "frames": {"n": len(asked), "accuracy": float(right.mean()), "commonest": float(counts.max() / counts.sum())},
        "repetitions": {"n": len(by_rep), "accuracy": float(np.mean(by_rep))},
    }
