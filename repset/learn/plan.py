"""How one network is to be trained, in one table."""

from dataclasses import dataclass
from typing import Any, Literal

from repset.learn import metrics
from repset.learn.losses import LossName

SCORES = {
    "miou": lambda counts: metrics.mean_present(metrics.iou(counts)),
    "macro_f1": lambda counts: metrics.mean_present(metrics.f1(counts)),
    "accuracy": metrics.accuracy,
}
"""What the validation fold may be judged by: name → score of a confusion matrix."""


@dataclass(frozen=True)
class Plan:
    """How to train one network.

    Attributes:
        name: key of the scratch folder and label of the progress, for example "segmentation/final".
        inputs: whatever else the result depends on (table hashes, params), so that a checkpoint of other inputs is
            never resumed. JSON-ready.
        classes: number of output channels (axis 1 of the network's output).
        score: key of SCORES, by which the validation fold chooses the epoch.
        max_steps: upper limit of optimiser steps; only whole epochs are run, but at least one (cut if need be).
        step_epochs, gamma: StepLR; None keeps the learning rate.
        weights: of the classes in the loss; None: all alike.
        loss: name of repset.learn.losses; weight_decay: above 0 the optimiser is AdamW instead of Adam.
        warmup_steps: the learning rate rises over these and falls as a cosine to 0 at the last step, in place of
            StepLR; None keeps StepLR.
        average: decay of an exponential moving average of the weights, which is judged and kept in their place (it
            begins faster, so that the first steps are forgotten), with statistics of batch normalisation measured
            anew, since those of the way there are not the average's own; None: the weights themselves.
        draw: of each training item, how often it is drawn relative to the others; None: each once an epoch.
        patience: the training ends after so many epochs without a better score of the validation fold; None: never.
    """

    name: str
    inputs: Any
    seed: int
    classes: int
    score: Literal["miou", "macro_f1", "accuracy"]
    batch: int
    epochs: int
    max_steps: int | None
    learning_rate: float
    step_epochs: int | None = None
    gamma: float = 1.0
    weights: tuple[float, ...] | None = None
    loss: LossName = "cross_entropy"
    weight_decay: float = 0.0
    warmup_steps: int | None = None
    average: float | None = None
    draw: tuple[float, ...] | None = None
    patience: int | None = None
