"""Typed params.yaml and pipelines/*.yaml: an unknown key, a missing key or a wrong value is an error.

params.yaml is the only place of a tracked default: no field here has one unless null is its meaning.
"""

from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from repset.errors import ConfigError, DataError
from repset.project import Project


class Strict(BaseModel):
    """Frozen, and an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class SampleParams(Strict):
    """How much the rendered sample holds (params group `sample`)."""

    seed: int
    penn_clips: int = Field(ge=9)  # clips in all, spread over the actions
    penn_frames: int = Field(ge=24)  # frames of the longest clip
    roboflow_photos: int = Field(ge=12)  # source photos before augmentation
    mmfit_workouts: int = Field(ge=3)


class IndexParams(Strict):
    """Group `index`."""

    shard_mb: int = Field(ge=1)


class FoldShares(Strict):
    """Fractions of a source's groups; they sum to 1."""

    train: float
    calibration: float
    validation: float
    test: float


class SplitParams(FoldShares):
    """Group `split`: fractions of groups."""

    seed: int
    by_source: dict[str, FoldShares] | None = None  # where a source needs others; null: nowhere

    def of(self, source: str) -> "SplitParams":
        """The same seed with the fractions of one source."""
        own = (self.by_source or {}).get(source)
        return self if own is None else self.model_copy(update=own.model_dump())


class AutolabelParams(Strict):
    """Group `autolabel`."""

    rule_set: str
    model: str  # lite | full | heavy, or the path of an official .task bundle
    min_visibility: float = Field(ge=0, le=1)
    angles_3d: bool = False  # also the interior angles in space: `left_elbow_3d`


class AcceptParams(Strict):
    """Group `accept`: what is promised of proposals that are taken without a person."""

    max_error: float = Field(gt=0, lt=1)  # share of wrong ones …
    confidence: float = Field(gt=0, lt=1)  # … held with this confidence, by class and source
    pool_below_groups: int = Field(ge=1)  # classes with fewer groups of known truth share a threshold
    audit: int = Field(ge=1)  # candidates that people judge first where a source has no gold
    seed: int  # of that draw


class LoopParams(Strict):
    """Group `loop`."""

    ledger_until: str | None  # name of the last closed round the bootstrap may learn from


class SegmentationTrain(Strict):
    """One training of the segmentation model."""

    size_px: int
    batch: int
    epochs: int
    max_steps: int | None
    learning_rate: float
    weight_decay: float = Field(ge=0)  # above 0: AdamW instead of Adam
    warmup_steps: int | None  # rise, then a cosine to 0; null: StepLR, the next two
    step_epochs: int  # StepLR: epochs between decays
    gamma: float  # StepLR: factor of a decay
    loss: Literal["cross_entropy", "dice_cross_entropy", "dice_focal"]
    background_weight: float = Field(gt=0)  # of a background pixel in the cross-entropy; a muscle's pixel weighs 1
    average: float | None = Field(gt=0, lt=1)  # decay of the moving average of the weights; null: none
    patience: int | None = Field(None, ge=1)  # end after so many epochs without a better validation score; null: never
    class_aware: bool  # draw images of rare muscles as often as those of frequent ones
    architecture: str  # of segmentation-models-pytorch: Unet, FPN, DeepLabV3Plus, ...
    encoder: str
    encoder_depth: int = Field(ge=3, le=5)
    decoder_channels: tuple[int, ...] | None  # from the deepest up, one a level of encoder_depth; null: the usual ones
    encoder_weights: str | None
    mirror_views: bool  # label an image and its mirror image and take the mean
    flip_p: float
    shear_deg: float
    rotate_deg: float
    scale: float = Field(ge=0, lt=1)  # zoom by up to this share, in or out
    shift: float = Field(ge=0, lt=1)  # by up to this share of the square
    colour: float = Field(ge=0, lt=1)  # brightness, contrast and saturation by up to this share
    grayscale_p: float
    blur_px: float
    noise_p: float


class DeepFitTrain(Strict):
    """One training of DeepFit's frame-wise network."""

    activation: Literal["relu", "sigmoid"]
    batch: int  # frames a step
    epochs: int
    max_steps: int | None
    learning_rate: float
    dropout: float


class ExerciseTrain(Strict):
    """One training of the exercise models: the temporal one, and DeepFit beside it."""

    split: Literal["ours", "official"]  # official: a set's own split where it has one
    batch: int  # windows a step
    epochs: int
    max_steps: int | None
    learning_rate: float
    dropout: float
    patience: int | None = Field(None, ge=1)  # as of the segmentation
    width: int  # channels of the convolutions
    window_s: float
    steps: int  # time steps a window is resampled to
    crop_p: float = Field(0, ge=0, le=1)  # share of the training windows that a picture's border cuts through
    deepfit: DeepFitTrain


class TrainParams(Strict):
    """Group `train`."""

    seed: int
    segmentation: SegmentationTrain
    exercise: ExerciseTrain


class Params(Strict):
    """The whole of params.yaml."""

    sample: SampleParams
    index: IndexParams
    split: SplitParams
    autolabel: AutolabelParams
    accept: AcceptParams
    loop: LoopParams
    bootstrap: TrainParams
    train: TrainParams


class SourceSpec(Strict):
    """`pipelines/<source>.yaml`: where a source comes from and what to take of it.

    Attributes:
        family: the reader (key of repset.sources.SOURCES): roboflow | penn_action | mmfit | muscle_video | folder.
        rendered: true for the drawn sample; every score on it says so.
        origin: `sample`, a local file or folder, an https address, or `roboflow:workspace/project/version`.
        sha256, size_bytes: of the archive, where pinned.
        fps: assumed frame rate where the set states none (Penn Action).
        actions: only these of the set's own actions; null takes all.
        class_map: the set's class name → canonical label (roboflow, folder).
        format: the labels' format where a family has several.
        labels: the label file inside a folder source; null finds it by its usual name (folder only).
        sequences: true: the images of each folder are the frames of one clip (folder only).
        labelled_only: leave out what lies between sets, as DeepFit does (mmfit only).
        inertial: read the worn sensors too (mmfit only).
        list_number: which of a set's official lists of train and test (muscle_video only); null is the first.
    """

    family: Literal["roboflow", "penn_action", "mmfit", "muscle_video", "folder"]
    rendered: bool
    origin: str
    sha256: str | None = None
    size_bytes: int | None = None
    format: str | None = None
    fps: float | None = None
    actions: tuple[str, ...] | None = None
    class_map: dict[str, str] | None = None
    labelled_only: bool | None = None
    labels: str | None = None
    sequences: bool | None = None
    inertial: bool | None = None
    list_number: Literal[1, 2, 3] | None = None


class ModelSpec(Strict):
    """A row of `models` in pipelines/profile.yaml."""

    task: str
    sources: tuple[str, ...]


class PairSpec(Strict):
    """A row of `pairs` in pipelines/profile.yaml: one task on one source."""

    task: str
    source: str
    model: str


class Profile(Strict):
    """`pipelines/profile.yaml`, written by `repset profile`: what the graph runs on."""

    profile: str
    recipe: str  # the params file in force: params.yaml or pipelines/real.yaml
    sources: tuple[str, ...]
    models: dict[str, ModelSpec]
    pairs: dict[str, PairSpec]
    judged: tuple[str, ...]  # sources whose repetitions have form verdicts (task form, which no model proposes yet)


M = TypeVar("M", bound=Strict)


def load_yaml(path: Path) -> Any:
    """Parsed YAML (safe loader). Raises: DataError if the file is missing or does not parse."""
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DataError(path, "a YAML file", "no file", "Restore it from git, or run: repset profile sample") from error
    except yaml.YAMLError as error:
        raise DataError(path, "YAML", " ".join(str(error).split()), "Mend the line") from error


def parse(model: type[M], data: Any, where: object) -> M:
    """Check `data` against a model. Raises: ConfigError naming the file and the key."""
    try:
        return model.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "(top level)"
        raise ConfigError(f"{where}: {key}: {first['msg']}. Mend this key.") from error


def load_params(project: Project) -> Params:
    """params.yaml, or the recipe that the profile names."""
    path = project.root / load_profile(project).recipe
    return parse(Params, load_yaml(path), path)


def load_profile(project: Project) -> Profile:
    """pipelines/profile.yaml."""
    path = project.pipelines / "profile.yaml"
    return parse(Profile, load_yaml(path), path)


def load_source(project: Project, source: str) -> SourceSpec:
    """pipelines/<source>.yaml. Raises: ConfigError listing the sources there are."""
    path = project.pipelines / f"{source}.yaml"
    if not path.is_file():
        others = sorted(p.stem for p in project.pipelines.glob("*.yaml") if p.stem not in ("profile", "real"))
        raise ConfigError(f"{source}: no such source. Sources: {', '.join(others)}.")
    return parse(SourceSpec, load_yaml(path), path)
