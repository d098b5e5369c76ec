"""How the App looks at first sight: fields and their types, colours, sidebar, saved views. Explicit tables.

One of the three modules that import fiftyone (with fiftyone_view, which sets its environment first, and the plugin).
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import fiftyone as fo
from fiftyone import ViewField as F

from repset.landmarks import SKELETONS
from repset.palette import BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, VERDICTS, VERMILLION, YELLOW, Colour
from repset.review.fiftyone_docs import LEAK, STALE
from repset.review.fiftyone_labels import FINAL, PREDICTED

Doc = Mapping[str, Any]

_STRING, _STRINGS, _FLOAT, _INT = "string", "strings", "float", "int"
FIELDS: dict[str, str] = {
    **dict.fromkeys(
        ("sample_id", "variant", "source", "group", "fold", "official_split", "exercise_native", "digest"), _STRING
    ),
    **dict.fromkeys(("origins", "tiers", "why", "disagrees", "differences", "decisions", "reviewers"), _STRINGS),
    **dict.fromkeys(("doubt", "confidence", "disagreement", "pose_error"), _FLOAT),
    **dict.fromkeys(("decided", "stale"), _INT),
    "exercise": "Classification",
    "form": "Classification",
    "sets": "TemporalDetections",
    "reps": "TemporalDetections",
    "masks": "Detections",
    "pose": "Keypoints",
    PREDICTED + "exercise": "Classifications",
    PREDICTED + "form": "Classifications",
    PREDICTED + "sets": "TemporalDetections",
    PREDICTED + "reps": "TemporalDetections",
    PREDICTED + "masks": "Detections",
    PREDICTED + "pose": "Keypoints",
    FINAL + "exercise": "Classifications",
    FINAL + "sets": "TemporalDetections",
    FINAL + "reps": "TemporalDetections",
    FINAL + "masks": "Detections",
    "findings": "Classifications",
    "angles": "DynamicEmbeddedDocument",
}
"""Name → type of every field; one that no sample has is not made."""

_WHENCE = dict.fromkeys(("origin", "tier", "reviewer"), _STRING)
_ATTRIBUTES: dict[str, dict[str, str]] = {
    "Classification": _WHENCE,
    "Classifications": _WHENCE,
    "Detections": _WHENCE,
    "Keypoints": {**_WHENCE, "hidden": _STRING},
    "TemporalDetections": {
        **_WHENCE,
        **dict.fromkeys(("value_deg", "low_deg", "high_deg"), _FLOAT),
        **dict.fromkeys(("signal", "view", "message", "rule", "exercise"), _STRING),
    },
}
_FINDING = {"severity": _STRING, "sentence": _STRING, "frame": _INT}
_LIST = {
    "Classification": "",
    "Classifications": ".classifications",
    "Detections": ".detections",
    "Keypoints": ".keypoints",
    "TemporalDetections": ".detections",
}


def declare(dataset: Any, docs: Iterable[Doc], frames: bool = False) -> None:
    """Make the fields that these documents have and the dataset lacks."""
    schema = dataset.get_frame_field_schema() if frames else dataset.get_field_schema()
    add = dataset.add_frame_field if frames else dataset.add_sample_field
    angles: set[str] = set()
    for doc in docs:
        for name in doc.keys() & FIELDS.keys() - schema.keys():
            _declare(add, name, FIELDS[name])
            schema = {**schema, name: None}
        angles |= doc.get("angles", {}).keys() - {"_cls"}
    known = dataset.get_frame_field_schema(flat=True) if frames else dataset.get_field_schema(flat=True)
    for name in sorted(angles):
        if f"angles.{name}" not in known:
            add(f"angles.{name}", fo.FloatField)


def _declare(add: Callable[..., None], name: str, kind: str) -> None:
    if kind in _PLAIN:
        field, more = _PLAIN[kind]
        add(name, field, **more)
        return
    add(name, fo.EmbeddedDocumentField, embedded_doc_type=getattr(fo, kind))
    for attribute, plain in (_FINDING if name == "findings" else _ATTRIBUTES.get(kind, {})).items():
        field, more = _PLAIN[plain]
        add(f"{name}{_LIST[kind]}.{attribute}", field, **more)


_PLAIN: dict[str, tuple[Any, dict[str, Any]]] = {
    _STRING: (fo.StringField, {}),
    _STRINGS: (fo.ListField, {"subfield": fo.StringField}),
    _FLOAT: (fo.FloatField, {}),
    _INT: (fo.IntField, {}),
}

# --- colours and sidebar ---------------------------------------------------------------------------------------------

_CLASSES = (SKY, ORANGE, PURPLE, YELLOW, BLUE, GREEN, VERMILLION, GREY)
_TRUTH, _GUESS = GREEN, ORANGE

SIDEBAR: tuple[tuple[str, tuple[str, ...], bool], ...] = (
    ("what holds", ("exercise", "reps", "sets", "form", "masks", "pose", "frames.pose"), True),
    ("beside it", tuple(PREDICTED + name for name in ("exercise", "reps", "sets", "form", "masks", "pose")), True),
    ("doubt", ("doubt", "why", "findings", "confidence", "disagreement", "disagrees", "differences", "pose_error"),
     True),
    ("decisions", ("decided", "reviewers", "decisions", "stale"), True),
    ("provenance", ("tiers", "origins", "fold", "official_split", "group", "source", "exercise_native"), False),
    ("angles", ("angles", "frames.angles"), False),
    (
        "metadata",
        (
            *("sample_id", "variant", "id", "digest", "filepath", "metadata", "created_at", "last_modified_at"),
            *(f"frames.{name}" for name in ("id", "frame_number", "created_at", "last_modified_at")),
        ),
        False,
    ),
)  # fmt: skip
"""Groups of the sidebar: name, fields, whether open. `beside it` also takes _BESIDE."""

_BESIDE = ("frames." + PREDICTED + "pose", *(FINAL + name for name in ("exercise", "reps", "sets", "masks")))

_ACTIVE = ("exercise", "reps", "form", "masks", "pose", "frames.pose", PREDICTED + "masks")


def _hex(colour: Colour) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour[::-1])


def _pale(colour: Colour) -> Colour:
    """Half way to white: what is only predicted."""
    blue, green, red = ((channel + 255) // 2 for channel in colour)
    return blue, green, red


def dress(dataset: Any, skeletons: Mapping[str, str | None], classes: Iterable[str], verdicts: bool) -> None:
    """Skeletons, colours, sidebar and ticked fields."""
    there = _paths(dataset)
    known = {name: _skeleton(skeleton) for name, skeleton in skeletons.items() if skeleton is not None}
    dataset.skeletons = {prefix + name: known[name] for name in known for prefix in ("", "frames.")}
    words = [{"value": name, "color": _hex(colour)} for name, (colour, _) in VERDICTS.items()]
    tint = {name: _CLASSES[n % len(_CLASSES)] for n, name in enumerate(sorted(set(classes)))}
    muscles = [{"value": name, "color": _hex(colour)} for name, colour in tint.items()]
    paler = [{"value": name, "color": _hex(_pale(colour))} for name, colour in tint.items()]
    fields = [
        *({"path": p, "colorByAttribute": "label", "valueColors": words} for p in _with("reps", "form") if verdicts),
        {"path": "masks", "colorByAttribute": "label", "valueColors": muscles},
        *({"path": p + "masks", "colorByAttribute": "label", "valueColors": paler} for p in (PREDICTED, FINAL)),
        *(
            {"path": prefix + name, "fieldColor": _hex(colour), "colorByAttribute": "label",
             "valueColors": [{"value": "person", "color": _hex(colour)}]}
            for name, colour in (("pose", _TRUTH), (PREDICTED + "pose", _GUESS)) for prefix in ("", "frames.")
        ),
    ]  # fmt: skip
    config = dataset.app_config
    config.color_scheme = fo.ColorScheme(
        color_by="value",
        opacity=0.6,
        show_skeletons=True,
        multicolor_keypoints=False,
        color_pool=[_hex(colour) for colour in _CLASSES],
        fields=[one for one in fields if one["path"] in there],
    )
    groups = []
    for name, paths, is_open in SIDEBAR:
        wanted = (*paths, *_BESIDE) if name == "beside it" else paths
        mine = [path for path in wanted if path in there]
        if mine:
            groups.append(fo.SidebarGroupDocument(name=name, paths=mine, expanded=is_open))
    config.sidebar_groups = groups
    guess = () if there & {"pose", "frames.pose", "masks"} else (PREDICTED + "pose", f"frames.{PREDICTED}pose")
    config.active_fields = fo.ActiveFields(paths=[path for path in (*_ACTIVE, *guess) if path in there])
    dataset.save()


def _with(*names: str) -> list[str]:
    return [prefix + name for name in names for prefix in ("", PREDICTED)]


def _paths(dataset: Any) -> set[str]:
    frames = dataset.get_frame_field_schema() if dataset.media_type == "video" else None
    return {*dataset.get_field_schema(), *(f"frames.{name}" for name in frames or ())}


def _skeleton(name: str) -> Any:
    skeleton = SKELETONS[name]
    edges = [[skeleton.index(a), skeleton.index(b)] for a, b in skeleton.bones]
    return fo.KeypointSkeleton(labels=list(skeleton.joints), edges=edges)


# --- saved views -----------------------------------------------------------------------------------------------------

KINEMATIC = ("limb_jump", "side_swap", "joints_outside")
COPIES = ("near_duplicate", "exact_duplicate")
LOW = 0.5
"""A model's score below which it is called unsure."""


def _against(*who: str) -> Callable[[Any], Any]:
    return lambda ds: ds.match(F("disagrees").contains(list(who))).sort_by("disagreement", reverse=True)


VIEWS: dict[str, tuple[str, str, Callable[[Any], Any]]] = {
    "doubtful first": (
        "Most likely to change when a person looks",
        _hex(VERMILLION),
        lambda ds: ds.match((F("doubt") > 0) & (F("decided") == 0)).sort_by("doubt", reverse=True),
    ),
    "disagreement, pose against truth": (
        "Automatic joints far from the set's own",
        _hex(ORANGE),
        lambda ds: ds.match(F("disagrees").contains("pose against truth")).sort_by("pose_error", reverse=True),
    ),
    "disagreement, model against rule": (
        "A model and a rule say different things",
        _hex(ORANGE),
        _against("model against rule", "rule against model"),
    ),
    "disagreement, automatic against dataset": (
        "What models and rules say against the set's own labels",
        _hex(ORANGE),
        _against("model against dataset", "rule against dataset", "mediapipe against dataset"),
    ),
    "disagreement, bootstrap against final": (
        "What the model learnt from people's decisions (needs --final)",
        _hex(ORANGE),
        _against("bootstrap against final"),
    ),
    "low confidence": (
        "A model scores below 0.5, least sure first",
        _hex(YELLOW),
        lambda ds: ds.match(F("confidence") < LOW).sort_by("confidence"),
    ),
    "near-duplicates": (
        "Copies: rescaled, mirrored, trimmed or the same bytes",
        _hex(PURPLE),
        lambda ds: ds.match_tags(COPIES).sort_by("group"),
    ),
    "leak suspects": (
        "Copies or neighbours on both sides of the set's own split",
        _hex(PURPLE),
        lambda ds: ds.match_tags(LEAK).sort_by("group"),
    ),
    "kinematic findings": (
        "Limbs that jump, sides that swap, joints outside the picture",
        _hex(BLUE),
        lambda ds: ds.match_tags(KINEMATIC),
    ),
    "stale edits": ("Accepted once, changed since", _hex(SKY), lambda ds: ds.match_tags(STALE)),
    "decided": ("What people have decided", _hex(GREEN), lambda ds: ds.match(F("decided") > 0)),
}
"""The queues: name → description, colour, what it shows."""


def save_views(dataset: Any) -> None:
    """The queues as saved views; a person's own views stay as they are."""
    declare(dataset, [dict.fromkeys(("doubt", "confidence", "disagreement", "disagrees", "decided"))])
    for name, (description, colour, view) in VIEWS.items():
        dataset.save_view(name, view(dataset), description=description, color=colour, overwrite=True)
