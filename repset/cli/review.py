"""`repset review`."""

import click

from repset.curate.decision import VERDICTS
from repset.project import find_project
from repset.review.rep_queue import ORDERS, default_reviewer


@click.group()
def command() -> None:
    """Look at labels and decide; every decision goes into the ledger at once.

    \b
    Example:
        repset review reps sample_penn_action
    """


@command.command()
@click.argument("sources", metavar="SOURCE...", nargs=-1, required=True)
@click.option("--reviewer", default=default_reviewer, show_default="your name on this machine",
              help="Name in the ledger: a-z 0-9 _ . -")  # fmt: skip
@click.option("--order", type=click.Choice(ORDERS), default="doubtful", show_default=True,
              help="Nearest to its limit first, or by clip and time.")  # fmt: skip
@click.option("--only", type=click.Choice(VERDICTS), help="Only repetitions with this verdict.")
@click.option("--limit", type=click.IntRange(1), help="At most this many.")
@click.option("--again", is_flag=True, help="Also those that you have judged before.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, show_default="a free one", help="On 127.0.0.1.")
def reps(sources: tuple[str, ...], reviewer: str, order: str, only: str | None, limit: int | None, again: bool,
         port: int) -> None:  # fmt: skip
    """Judge repetitions in the browser at keyboard speed.

    Each is a two-second loop with its skeleton, angle and limit. Keys: 1 correct, 2 incorrect, 3 unscorable, arrows
    move a boundary, x no repetition, u undoes. Stop with Ctrl-C; what was decided is in the ledger.

    \b
    Example:
        repset review reps sample_penn_action
        repset review reps sample_mmfit --only unscorable --limit 100
    """
    from repset.review.rep_bench import Asked, Bench, BenchServer

    bench = Bench(find_project(), Asked(sources, reviewer, order, limit, again, only))
    server = BenchServer(bench, port)
    click.echo(f"{len(bench.order)} repetitions wait for {reviewer}. Open: {server.url}")
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        click.echo(f"{len(bench.desk.done)} repetitions judged.")
    finally:
        server.server_close()
