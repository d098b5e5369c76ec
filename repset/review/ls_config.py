"""The labelling screens of Label Studio: which labels there are, in which colours, with which keys.

A screen is made once for a project on the server; what its tasks may hold is this table, which also reads the answers.
"""

from dataclasses import dataclass
from xml.sax.saxutils import quoteattr

from repset.curate.decision import VERDICTS
from repset.draw import mask_colours
from repset.exercises import NAMES, NONE
from repset.landmarks import SKELETONS
from repset.palette import GREY, ORANGE, SKY, Colour
from repset.palette import VERDICTS as SHOWN_VERDICTS

MASK, JOINT, STATE, SEGMENT = "muscle", "joint", "joint_state", "repetition"
"""Control names: brush, points, a point's state, timeline segments; `exercise` and `form` are choices."""

HIDDEN = "occluded"
"""The one choice of STATE: a point without it is seen."""


@dataclass(frozen=True)
class Screen:
    """What tasks of one project on the server can hold.

    Attributes:
        kind: image | clip.
        classes: muscles, for the brush.
        skeletons: names in repset.landmarks.SKELETONS whose joints can be placed.
        exercises: names to choose from; persons: how many people of one picture can be told apart.
    """

    kind: str
    classes: tuple[str, ...] = ()
    skeletons: tuple[str, ...] = ()
    exercises: tuple[str, ...] = (*NAMES, NONE)
    persons: int = 1

    @property
    def joints(self) -> tuple[str, ...]:
        """Joints of all skeletons, each once, in order."""
        return tuple(dict.fromkeys(joint for name in self.skeletons for joint in SKELETONS[name].joints))


def label_of(name: str, person: int) -> str:
    """A label's text: `biceps` for the first person, `biceps #2` for the second."""
    return name if person == 0 else f"{name} #{person + 1}"


def names_of(label: str) -> tuple[str, int]:
    """Name and person of a label's text."""
    name, mark, number = label.rpartition(" #")
    return (name, int(number) - 1) if mark and number.isdigit() and int(number) > 1 else (label, 0)


def labels_of(names: tuple[str, ...], screen: Screen) -> list[str]:
    """Label texts of these names for every person of the screen."""
    return [label_of(name, person) for person in range(screen.persons) for name in names]


def xml(screen: Screen) -> str:
    """The labelling configuration, the same text for the same screen."""
    lines = ["<View>"]
    if screen.kind == "clip":
        lines += _control("TimelineLabels", SEGMENT, "video", [(label, _verdict(label)) for label in _verdicts(screen)])
        lines.append('  <Video name="video" value="$video" frameRate="$fps" timelineHeight="120"/>')
    else:
        lines.append('  <Image name="image" value="$image" zoom="true" zoomControl="true" crosshair="false"/>')
        if screen.classes:
            colours = mask_colours(screen.classes)
            names = tuple(sorted(screen.classes))
            shown = [(label, colours[names_of(label)[0]]) for label in labels_of(names, screen)]
            lines += _control("BrushLabels", MASK, "image", shown)
        if screen.joints:
            shown = [(label, _side(label)) for label in labels_of(screen.joints, screen)]
            lines += _control("KeyPointLabels", JOINT, "image", shown, ' strokeWidth="2" opacity="0.95"')
            when = ' perRegion="true" choice="multiple" visibleWhen="region-selected"'
            lines += _choices(STATE, "image", (HIDDEN,), when + f' whenTagName="{JOINT}"')
    target = "video" if screen.kind == "clip" else "image"
    lines += _choices("exercise", target, screen.exercises, ' choice="single-radio" showInline="true"')
    if screen.kind == "image":
        lines += _choices("form", target, VERDICTS, ' choice="single-radio" showInline="true"')
    return "\n".join([*lines, "</View>"]) + "\n"


def _verdicts(screen: Screen) -> list[str]:
    return labels_of(VERDICTS, screen)


def _control(tag: str, name: str, target: str, labels: list[tuple[str, Colour]], more: str = "") -> list[str]:
    lines = [f'  <{tag} name="{name}" toName="{target}" showInline="true"{more}>']
    lines += [f"    <Label value={quoteattr(label)} background={quoteattr(_hex(colour))}/>" for label, colour in labels]
    return [*lines, f"  </{tag}>"]


def _choices(name: str, target: str, values: tuple[str, ...], more: str) -> list[str]:
    title = [] if "perRegion" in more else [f'  <Header value={quoteattr(name)} size="5"/>']
    lines = [f'  <Choices name="{name}" toName="{target}"{more}>']
    return [*title, *lines, *(f"    <Choice value={quoteattr(value)}/>" for value in values), "  </Choices>"]


def _hex(colour: Colour) -> str:
    blue, green, red = colour
    return f"#{red:02X}{green:02X}{blue:02X}"


def _side(label: str) -> Colour:
    return SKY if label.startswith("left_") else ORANGE if label.startswith("right_") else GREY


def _verdict(label: str) -> Colour:
    return SHOWN_VERDICTS[names_of(label)[0]][0]
