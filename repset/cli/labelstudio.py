"""`repset labelstudio`."""

from collections.abc import Callable
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from repset.cli.progress import meter
from repset.curate.gather import gather
from repset.curate.ledger import Ledger
from repset.project import Project, find_project
from repset.review.label_studio import Server
from repset.review.ls_connect import alone, connection, root_of, title_of
from repset.review.ls_items import KINDS, kind_of, select
from repset.review.ls_pull import ACTIONS, Pulled, stored_masks
from repset.review.ls_pull import pull as pull_answers
from repset.review.ls_pull import status as compare
from repset.review.ls_push import push as push_items


@click.group()
def command() -> None:
    """Send labels to Label Studio for people to correct, and bring their decisions into the ledger.

    The server is the one that `make label-studio` starts, or that of LABEL_STUDIO_URL with the token in
    LABEL_STUDIO_API_KEY (legacy or personal access token).

    \b
    Example:
        repset labelstudio push sample_roboflow
        repset labelstudio pull sample_roboflow
    """


def _common(function: Callable[..., None]) -> Callable[..., None]:
    kind = click.option("--kind", type=click.Choice(KINDS), help="Photos, single frames of clips, or clips.  "
                        "[default: photos or clips, as the source has them]")  # fmt: skip
    url = click.option("--url", help="The server's address.")
    return click.argument("source")(kind(url(function)))


_ON_ERROR = click.option("--on-error", type=click.Choice(["fail", "skip"]), default="fail", show_default=True,
                         help="What cannot be sent or believed fails the command, or is counted and left.")  # fmt: skip
_REVIEWER = click.option("--reviewer", "reviewer", metavar="EMAIL=NAME", multiple=True,
                         help="Name of a reviewer in the ledger.  [default: what stands before the @]")  # fmt: skip


@command.command()
@_common
@click.option("--proposals", is_flag=True, help="Show what models propose where they do, not the label that holds.")
@click.option("--frames", type=click.IntRange(1), default=3, show_default=True, help="Of each clip, for --kind frame.")
@click.option("--blank-share", type=click.FloatRange(0, 1), default=0.0, show_default=True,
              help="Share of the tasks sent without labels, to measure what labels on screen are worth.")  # fmt: skip
@click.option(
    "--probe-share",
    type=click.FloatRange(0, 1),
    default=0.0,
    show_default=True,
    help="Share of the tasks with one label wrong on purpose, never merged, to measure attention.",
)
@click.option("--queue", is_flag=True, help="In the order of repset queue, most gain a minute first.")
@click.option("--limit", type=click.IntRange(1), help="At most this many tasks that are not there yet.")
@click.option("--document-root", type=click.Path(path_type=Path), help="Where the server serves files from.  "
              "[default: the project]")  # fmt: skip
@_ON_ERROR
def push(source: str, kind: str | None, url: str | None, proposals: bool, frames: int, blank_share: float,
         probe_share: float, queue: bool, limit: int | None, document_root: Path | None,
         on_error: str) -> None:  # fmt: skip
    """Send a source's pictures or clips with the labels that hold; what is there already is brought up to date.

    \b
    Example:
        repset labelstudio push sample_roboflow --queue --limit 50
        repset labelstudio push sample_penn_action --kind frame --frames 2
    """
    project = find_project()
    kind = kind or kind_of(project, source)
    server = _server(project, url)
    with alone(project), meter() as report:
        selection = select(project, source, kind, proposals=proposals, frames=frames, blank_share=blank_share,
                           probe_share=probe_share, queue=queue)  # fmt: skip
        chosen = {item.key for item in selection.items[:limit]} if limit else None
        done = push_items(
            server, selection, title_of(source, kind), root_of(project, document_root),
            wanted=lambda item: chosen is None or item.key in chosen,
            skip_faults=on_error == "skip", report=report,
        )  # fmt: skip
    for fault in done.faults:
        click.echo(f"not sent: {fault}", err=True)
    kept = f", {done.kept} kept as a person began them" if done.kept else ""
    doubles = f", {done.doubles} doubles removed" if done.doubles else ""
    blank = f"; {done.blank} go out blank on purpose" if done.blank else ""
    blank += f"; {done.probes} show a label that is wrong on purpose" if done.probes else ""
    click.echo(f"{done.new} tasks new, {done.refreshed} renewed, {done.unchanged} as they were{kept}{doubles}{blank}")
    click.echo(f"{server.url}/projects/{done.project}")


@command.command()
@_common
@_REVIEWER
@_ON_ERROR
def pull(source: str, kind: str | None, url: str | None, reviewer: tuple[str, ...], on_error: str) -> None:
    """Write what people decided into the ledger; pulling twice changes nothing.

    \b
    Example:
        repset labelstudio pull sample_roboflow
    """
    project = find_project()
    kind = kind or kind_of(project, source)
    server, names = _server(project, url), _names(reviewer)
    with alone(project), meter() as report:
        done = pull_answers(server, title_of(source, kind), Ledger(project.reviews), names=names,
                            pngs=_stored(project, source, kind), report=report)  # fmt: skip
    _print(done, f"{done.written} lines written to the ledger" if done.written else "nothing new")
    if done.faults and on_error == "fail":
        raise click.exceptions.Exit(1)


@command.command()
@_common
@_REVIEWER
def status(source: str, kind: str | None, url: str | None, reviewer: tuple[str, ...]) -> None:
    """Compare the server with the project and the ledger; changes nothing.

    \b
    Example:
        repset labelstudio status sample_roboflow
    """
    project = find_project()
    kind = kind or kind_of(project, source)
    server, names = _server(project, url), _names(reviewer)
    selection = select(project, source, kind)
    items = selection.items
    found = compare(server, title_of(source, kind), {item.key: item.twin for item in items}, Ledger(project.reviews),
                    names=names, pngs=selection.pngs)  # fmt: skip
    click.echo(f"Label Studio {server.version()} at {server.url}, project {title_of(source, kind)!r}")
    click.echo(f"{found.there} tasks there, {found.missing} items not sent, {found.outdated} tasks of other media, "
               f"{found.doubles} doubles")  # fmt: skip
    waiting = found.pulled.written
    _print(found.pulled, f"{waiting} lines wait: repset labelstudio pull {source}" if waiting else "nothing waits")


def _server(project: Project, url: str | None) -> Server:
    known = connection(project, url)
    return Server(known.url, known.key)


def _names(pairs: tuple[str, ...]) -> dict[str, str]:
    for pair in pairs:
        if pair.count("=") != 1:
            raise click.BadParameter(f"expected EMAIL=NAME, found {pair!r}", param_hint="--reviewer")
    return dict(pair.split("=") for pair in pairs)


def _stored(project: Project, source: str, kind: str) -> dict[str, bytes]:
    if kind != "image" or not project.index(source).is_dir():
        return {}
    return stored_masks(gather(project, "muscle_mask", source, automatic=True).rows)


def _print(done: Pulled, last: str) -> None:
    table = Table("task", *ACTIONS, "size of edits")
    for task, counts in sorted(done.said.items()):
        sizes = []
        if task in done.mean_iou:
            sizes.append(f"mean IoU {done.mean_iou[task]:.3f}")
        if task == "pose" and done.shift_px:
            sizes.append(f"mean shift {sum(done.shift_px) / len(done.shift_px):.1f} px")
        table.add_row(task, *(str(counts[action]) for action in ACTIONS), ", ".join(sizes))
    if done.said:
        Console().print(table)
    people = ", ".join(f"{name} {count}" for name, count in sorted(done.reviewers.items())) or "nobody"
    aside = [
        (done.nothing, "blank and nothing found"),
        (done.skipped, "skipped"),
        (done.drafts, "drafts not submitted"),
        (done.foreign, "tasks not ours"),
    ]
    words = "".join(f", {count} {what}" for count, what in aside if count)
    click.echo(f"{done.begun} of {done.tasks} tasks answered ({people}) in {done.seconds:.0f} s{words}")
    for fault in done.faults:
        click.echo(f"not believed: {fault}", err=True)
    undone = f" ({done.undone} undo)" if done.undone else ""
    click.echo(last + undone)
