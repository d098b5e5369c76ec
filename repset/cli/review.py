"""`repset review`."""

import click

from repset.cli.review_report import command as report
from repset.curate.decision import VERDICTS
from repset.project import find_project
from repset.review.rep_queue import ORDERS, default_reviewer


class _AppFirst(click.Group):
    """A group that takes what is no subcommand for a call of `app`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """`repset review SOURCE` is `repset review app SOURCE`."""
        first = args[0] if args else ""
        known = first in self.commands or first in ctx.help_option_names
        return super().parse_args(ctx, args if known else ["app", *args])


@click.group(cls=_AppFirst)
def command() -> None:
    """Look at labels and decide; every decision goes into the ledger at once.

    Without a subcommand the FiftyOne App opens: `repset review SOURCE` is `repset review app SOURCE`.

    \b
    Example:
        repset review sample_roboflow
        repset review reps sample_penn_action
    """


_REVIEWER = click.option("--reviewer", default=default_reviewer, show_default="your name on this machine",
                         help="Name in the ledger: a-z 0-9 _ . -")  # fmt: skip


@command.command()
@click.argument("sources", metavar="[SOURCE]...", nargs=-1)
@_REVIEWER
@click.option("--remote", is_flag=True, help="Open no browser: the App is looked at from another machine.")
@click.option("--address", default="127.0.0.1", show_default=True, help="Where the App listens.")
@click.option("--port", type=click.IntRange(0, 65535), default=5151, show_default=True, help="0 takes a free one.")
@click.option("--final", is_flag=True, help="Also show what the final models say (torch; minutes, once a training).")
@click.option("--build-only", is_flag=True, help="Bring the datasets up to date and end.")
def app(sources: tuple[str, ...], reviewer: str, remote: bool, address: str, port: int, final: bool,
        build_only: bool) -> None:  # fmt: skip
    """Open pictures and clips in FiftyOne, with their labels, doubts, findings and decisions.

    SOURCE: as in datasets/; without one, those of the profile that are indexed. The datasets are built from files,
    brought up to date at every start, and can be deleted (.repset/fiftyone) without losing a decision; another MongoDB:
    FIFTYONE_DATABASE_URI. Clips become H.264 videos once, so the first start takes longer. Saved views are the queues;
    the buttons above the grid accept, reject, relabel, undo and send to Label Studio. Stop with Ctrl-C.

    \b
    Example:
        repset review sample_roboflow
        repset review sample_penn_action --remote --port 5151
    """
    import webbrowser

    from repset.cli.progress import meter
    from repset.errors import RepsetError
    from repset.params import load_profile
    from repset.review import fiftyone_view as view
    from repset.review.fiftyone_decide import check_reviewer
    from repset.review.fiftyone_final import predict

    project = find_project()
    names = sources or tuple(name for name in load_profile(project).sources if project.index(name).is_dir())
    if not names:
        raise RepsetError("review: expected an indexed source, found none. Run: repset index SOURCE")
    listening = None if build_only else view.listen(address, port)
    view.prepare(project, check_reviewer(reviewer))
    with meter() as progress:
        for name in names if final else ():
            predict(project, name, progress)
        built = view.build(project, names, progress)
    for one in built:
        gone = f", {one.removed} gone" if one.removed else ""
        click.echo(f"{one.name}: {one.samples} samples, {one.written} new or changed{gone}")
    if listening is None:
        return
    host = f"[{address}]" if ":" in address else address
    url = f"http://{host}:{listening.getsockname()[1]}/datasets/{built[0].name}"
    if address not in ("127.0.0.1", "::1", "localhost"):
        click.echo(f"Whoever reaches {address} can decide as {reviewer}.", err=True)
    click.echo(f"Decisions are {reviewer}'s. Open: {url}")
    if not remote:
        webbrowser.open(url)
    view.serve(listening)


@command.command()
@click.argument("sources", metavar="SOURCE...", nargs=-1, required=True)
@_REVIEWER
@click.option("--order", type=click.Choice(ORDERS), default="doubtful", show_default=True,
              help="Nearest to its limit first, or by clip and time.")  # fmt: skip
@click.option("--only", type=click.Choice(VERDICTS), help="Only repetitions with this verdict.")
@click.option("--limit", type=click.IntRange(1), help="At most this many.")
@click.option("--again", is_flag=True, help="Also those that you have judged before.")
@click.option(
    "--probe-share",
    type=click.FloatRange(0, 1),
    default=0.0,
    show_default=True,
    help="Share of the set's own verdicts shown wrong on purpose, never merged, to measure attention.",
)
@click.option("--port", type=click.IntRange(0, 65535), default=0, show_default="a free one", help="On 127.0.0.1.")
def reps(sources: tuple[str, ...], reviewer: str, order: str, only: str | None, limit: int | None, again: bool,
         probe_share: float, port: int) -> None:  # fmt: skip
    """Judge repetitions in the browser at keyboard speed.

    Each is a two-second loop with its skeleton, angle and limit. Keys: 1 correct, 2 incorrect, 3 unscorable, arrows
    move a boundary, x no repetition, u undoes. Stop with Ctrl-C; what was decided is in the ledger.

    \b
    Example:
        repset review reps sample_penn_action
        repset review reps sample_mmfit --only unscorable --limit 100
    """
    from repset.review.rep_bench import Asked, Bench, BenchServer

    bench = Bench(find_project(), Asked(sources, reviewer, order, limit, again, only, probe_share))
    server = BenchServer(bench, port)
    click.echo(f"{len(bench.order)} repetitions wait for {reviewer}. Open: {server.url}")
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        click.echo(f"{len(bench.desk.done)} repetitions judged.")
    finally:
        server.server_close()


command.add_command(report)
