"""The operators of the FiftyOne App: what is done there goes into the ledger at once.

`repset review app` copies this file into the project's plugins folder, where the App's server loads it; project and
reviewer come from the environment (REPSET_ROOT, REPSET_REVIEWER). Select samples in the grid, or labels in an open
sample, and press the button or the key ` for the list of operators.
"""

import os
from collections import defaultdict
from typing import Any

import fiftyone.operators as foo
from fiftyone.operators import types

from repset.errors import RepsetError
from repset.project import Project, find_project
from repset.review import fiftyone_decide as desk
from repset.review.fiftyone_docs import Source
from repset.review.fiftyone_labels import Label
from repset.review.fiftyone_view import REVIEWER, refresh

_MOST = 500  # samples whose labels a form counts before it is sent

_sources: dict[str, tuple[tuple[float, ...], Source]] = {}


def _reviewer() -> str:
    return desk.check_reviewer(os.environ.get(REVIEWER, ""))


def _source(project: Project, name: str) -> Source:
    """A source's files, read again only after they have changed; the ledger is read at every decision."""
    folders = (project.index(name), project.labels(name), project.split(name), project.checks(name))
    stamps = tuple(folder.stat().st_mtime if folder.is_dir() else 0.0 for folder in folders)
    if name not in _sources or _sources[name][0] != stamps:
        _sources[name] = stamps, Source(project, name)
    return _sources[name][1]


def _picked(ctx: Any) -> dict[str, desk.Picked]:
    """Source → what is selected of it; a sample open in the modal counts where nothing is selected."""
    labels = {one["label_id"]: one.get("frame_number") for one in ctx.selected_labels or ()}
    ids = {one["sample_id"] for one in ctx.selected_labels or ()} or set(ctx.selected)
    ids = ids or ({ctx.current_sample} if ctx.current_sample else set())
    found: dict[str, list[tuple[str, str]]] = defaultdict(list)
    if ids:
        view = ctx.dataset.select(sorted(ids))
        for source, sample_id, variant in zip(*view.values(["source", "sample_id", "variant"]), strict=True):
            found[source].append((sample_id, variant or ""))
    return {source: desk.Picked(tuple(sorted(samples)), labels) for source, samples in found.items()}


def _show(ctx: Any, source: Source, sample_ids: set[str]) -> None:
    kind = "image" if ctx.dataset.media_type == "image" else "clip"
    refresh(ctx.dataset, source, kind, sample_ids)


class _Decide(foo.Operator):  # type: ignore[misc]
    """Accept, reject and relabel: one form, one way into the ledger."""

    action, label, icon = "", "", ""

    @property
    def config(self) -> Any:
        """Name and label."""
        return foo.OperatorConfig(name=self.action, label=f"repset: {self.label}", icon=self.icon, dynamic=True)

    def resolve_placement(self, ctx: Any) -> Any:
        """A button above the grid."""
        return types.Placement(types.Places.SAMPLES_GRID_ACTIONS, types.Button(label=self.label, icon=self.icon))

    def resolve_input(self, ctx: Any) -> Any:
        """What is meant, which of it, and (relabel) what it is."""
        inputs: Any = types.Object()
        picked = _picked(ctx)
        counts = {name: len(one.samples) for name, one in picked.items()}
        if not picked or sum(counts.values()) > _MOST:
            text = f"Select samples or labels first, {_MOST} samples at most."
            inputs.view("warning", types.Warning(label=text)).invalid = True
            return types.Property(inputs, view=types.View(label=self.label))
        project = find_project()
        sources = {name: _source(project, name) for name in picked}
        found = [label for name, one in picked.items() for label in desk.labels_of(sources[name], one)]
        self._ask(ctx, inputs, list(sources.values()), found, chosen=bool(next(iter(picked.values())).labels))
        inputs.str("who", default=_reviewer(), label="Reviewer", view=types.LabelValueView(label="Reviewer"))
        return types.Property(inputs, view=types.View(label=f"{self.label}: {sum(counts.values())} samples"))

    def _ask(self, ctx: Any, inputs: Any, sources: list[Source], found: list[Label], chosen: bool) -> None:
        tasks = [word for word, task in desk.TASKS.items() if any(label.task == task for label in found)]
        tasks = [word for word in tasks if self.action != "relabel" or word != "joints"]
        if self.action == "relabel" and ctx.dataset.media_type == "video" and not chosen and "exercise" not in tasks:
            tasks.append("exercise")  # of a clip that has none yet
        if not tasks:
            text = "Nothing selected has a label that this can act on."
            inputs.view("warning", types.Warning(label=text)).invalid = True
            return
        inputs.enum("what", tasks, default=tasks[0], label="What", view=types.RadioGroup())
        task = desk.TASKS.get(ctx.params.get("what") or tasks[0], "")
        mine = [label for label in found if label.task == task]
        if len(mine) > 1:
            choices: Any = types.DropdownView()
            choices.add_choice("all", label=f"all {len(mine)}")
            for label in mine[:_MOST]:
                choices.add_choice(label.id, label=f"{label.sample_id.split('/', 1)[1]}: {label.words}")
            inputs.enum("which", choices.values(), default="all", label="Which", view=choices)
        if self.action == "relabel":
            values = sorted({value for source in sources for value in desk.values_of(source, task)})
            inputs.enum("value", values, required=True, label="It is", view=types.DropdownView())

    def execute(self, ctx: Any) -> dict[str, Any]:
        """Write, then show what holds now."""
        project, reviewer = find_project(), _reviewer()
        task = desk.TASKS.get(ctx.params.get("what") or "")
        value, which = ctx.params.get("value"), ctx.params.get("which") or "all"
        written = known = 0
        for name, picked in _picked(ctx).items():
            source = _source(project, name)
            source.said.refresh({sample_id for sample_id, _ in picked.samples})
            labels = [one for one in desk.labels_of(source, picked, task) if task in (None, one.task)]
            labels = [one for one in labels if which in ("all", one.id)]
            bare = {key for key in picked.samples if key not in {(one.sample_id, one.variant) for one in labels}}
            done = desk.decide(project, source, labels, self.action, value, reviewer) if labels else desk.Done([], 0)
            if self.action == "relabel" and task == "exercise" and not picked.labels and which == "all":
                for sample_id, variant in sorted(bare):
                    done.written.append(desk.name_clip(source, sample_id, variant, str(value), reviewer, project))
            written, known = written + len(done.written), known + done.known
            _show(ctx, source, {one.sample_id for one in done.written})
        ctx.ops.clear_selected_samples()
        ctx.ops.clear_selected_labels()
        ctx.ops.reload_samples()
        text = f"{written} lines in the ledger as {reviewer}" + (f", {known} said so already" if known else "")
        ctx.ops.notify(text, variant="success" if written or known else "warning")
        return {"written": written, "known": known, "said": text}

    def resolve_output(self, ctx: Any) -> Any:
        """The sentence."""
        return _sentence()


def _sentence() -> Any:
    outputs: Any = types.Object()
    outputs.str("said", label="Ledger", view=types.LabelValueView(label="Ledger"))
    return types.Property(outputs)


class Accept(_Decide):
    """What is shown is right."""

    action, label, icon = "accept", "Accept", "check_circle"


class Reject(_Decide):
    """What is shown is wrong, and nothing takes its place."""

    action, label, icon = "reject", "Reject", "cancel"


class Relabel(_Decide):
    """Another verdict, exercise or muscle."""

    action, label, icon = "relabel", "Relabel", "edit"


class Undo(foo.Operator):  # type: ignore[misc]
    """Hold off the last decision made here."""

    @property
    def config(self) -> Any:
        """Name and label."""
        return foo.OperatorConfig(name="undo", label="repset: Undo my last decision", icon="undo")

    def resolve_placement(self, ctx: Any) -> Any:
        """A button above the grid."""
        button = types.Button(label="Undo my last decision", icon="undo", prompt=False)
        return types.Placement(types.Places.SAMPLES_GRID_ACTIONS, button)

    def execute(self, ctx: Any) -> dict[str, Any]:
        """Write the undo, then show what holds now."""
        project = find_project()
        last = desk.undo_last(project, _reviewer())
        text = "nothing to undo"
        if last is not None:
            text = f"undone: {last.action} of {last.sample_id}"
            _show(ctx, _source(project, last.sample_id.split("/", 1)[0]), {last.sample_id})
            ctx.ops.reload_samples()
        ctx.ops.notify(text)
        return {"said": text}

    def resolve_output(self, ctx: Any) -> Any:
        """The sentence."""
        return _sentence()


class SendToLabelStudio(foo.Operator):  # type: ignore[misc]
    """Masks and joints are corrected there; `repset labelstudio pull` brings them into the ledger."""

    @property
    def config(self) -> Any:
        """Name and label."""
        return foo.OperatorConfig(
            name="send_to_label_studio", label="repset: Send to Label Studio", icon="send", dynamic=True
        )

    def resolve_placement(self, ctx: Any) -> Any:
        """A button above the grid."""
        button = types.Button(label="Send to Label Studio", icon="send")
        return types.Placement(types.Places.SAMPLES_GRID_ACTIONS, button)

    def resolve_input(self, ctx: Any) -> Any:
        """How many go."""
        inputs: Any = types.Object()
        count = sum(len(one.samples) for one in _picked(ctx).values())
        if count:
            inputs.view("note", types.Notice(label=f"{count} samples with the labels that hold"))
        else:
            inputs.view("warning", types.Warning(label="Select samples first.")).invalid = True
        return types.Property(inputs, view=types.View(label="Send to Label Studio"))

    def execute(self, ctx: Any) -> dict[str, Any]:
        """Push, and say what became of it; a server that is not there is a sentence too."""
        project, said = find_project(), []
        for name, picked in _picked(ctx).items():
            try:
                said.append(desk.send(project, _source(project, name), {key for key, _ in picked.samples}))
            except RepsetError as error:
                said.append(str(error))
        return {"said": " ".join(said)}

    def resolve_output(self, ctx: Any) -> Any:
        """The sentence."""
        return _sentence()


def register(plugin: Any) -> None:
    """FiftyOne's way in."""
    for operator in (Accept, Reject, Relabel, Undo, SendToLabelStudio):
        plugin.register(operator)
