"""The command line: an explicit list of commands, each imported only when it is run.

`repset --help` reads this table alone, so it stays fast; a command's own options live in `repset/cli/<command>.py`
as a click command called `command`.
"""

import importlib
import sys
from dataclasses import dataclass

import click

from repset import __version__
from repset.errors import RepsetError


@dataclass(frozen=True)
class Entry:
    """One command: its section in --help, its module under repset.cli, and its line of help."""

    section: str
    module: str
    line: str


COMMANDS: dict[str, Entry] = {
    "pull": Entry("The loop", "pull", "Bring a source's archive into datasets/<source>/raw, verified."),
    "index": Entry("The loop", "index", "Read what was pulled into the tables of the data contract."),
    "check": Entry("The loop", "check", "Find faulty media, odd labels, copies and leaks, one row a finding."),
    "split": Entry("The loop", "split", "Divide a source into folds that no subject or video straddles."),
    "autolabel": Entry("The loop", "autolabel", "Poses, angles, repetitions and form verdicts for videos."),
    "evaluate-labels": Entry("The loop", "evaluate_labels", "Score the automatic labels against ground truth."),
    "seed": Entry("The loop", "seed", "Gather what the bootstrap model may learn from."),
    "bootstrap": Entry("The loop", "bootstrap", "Train the model that proposes labels."),
    "preannotate": Entry("The loop", "preannotate", "Propose labels with the bootstrap model."),
    "accept": Entry("The loop", "accept", "Take over proposals that a stated rule accepts."),
    "curate": Entry("The loop", "curate", "Merge dataset, automatic and human labels into one table a task."),
    "train": Entry("The loop", "train", "Train a model on the curated table."),
    "evaluate": Entry("The loop", "evaluate", "Score the bootstrap and the final model on gold labels."),
    "report": Entry("The loop", "report", "Write one HTML page with pictures of everything above."),
    "rules": Entry("Your own media", "rules", "List, show and check form rules; try your own against the default."),
    "segment": Entry("Your own media", "segment", "Mark the muscles expected to work in images and videos."),
    "muscles": Entry("Your own media", "muscles", "Which muscle groups a movement should work; score unseen ones."),
    "form": Entry("Your own media", "form", "Learn from verdicts which repetitions are correct; score beside rules."),
    "live": Entry("Your own media", "live", "Count and judge repetitions in front of a camera, as they are done."),
    "predict": Entry("Your own media", "predict", "All that the models say: exercise, repetitions, muscles, masks."),
    "validate": Entry("Your own media", "validate", "Measure how far labels may be trusted on your own camera."),
    "queue": Entry("People", "queue", "List what to look at next, most gain a minute first."),
    "review": Entry("People", "review", "Look at labels and decide, in FiftyOne or at keyboard speed."),
    "labelstudio": Entry("People", "labelstudio", "Send labels to Label Studio, and bring decisions back."),
    "splits": Entry("People", "splits", "Measure what a random split of frames would flatter."),
    "round": Entry("People", "round", "Close a review round, so that the next bootstrap may learn from it."),
    "diff": Entry("People", "diff", "Say what changed between two versions of the curated set."),
    "why": Entry("People", "why", "Show where each label of a sample comes from."),
    "explain": Entry("People", "explain", "Show which rule fired on which frame of a clip, with the measured value."),
    "ledger": Entry("People", "ledger", "Count the human decisions, or check that every one is as it was written."),
    "roboflow": Entry("People", "roboflow", "Send corrected masks back to a Roboflow project as polygons."),
    "models": Entry("Project", "models", "List the models with their scores; compare two."),
    "export": Entry("Project", "export", "Write images and labels in formats of other tools; say what is lost."),
    "cards": Entry("Project", "cards", "Check or renew the counts in the cards of the sources."),
    "add-source": Entry("Project", "add_source", "Begin a new source: pipeline file, card and test."),
    "profile": Entry("Project", "profile", "Switch between the rendered sample and the real sets."),
    "release": Entry("Project", "release", "Put a trained exercise model into the package as ONNX."),
    "doctor": Entry("Project", "doctor", "Check the environment and say how to mend each fault."),
}


class LazyGroup(click.Group):
    """A group that lists commands from the table and imports one when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Commands in the table's order."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Import the module of one command."""
        if name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"repset.cli.{COMMANDS[name].module}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The table, by section."""
        for section in dict.fromkeys(entry.section for entry in COMMANDS.values()):
            with formatter.section(section):
                formatter.write_dl([(name, e.line) for name, e in COMMANDS.items() if e.section == section])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="repset")
def cli() -> None:
    """Exercise images and video into datasets that can be trusted, and into models trained from them.

    \b
    Try it on your own videos:   repset autolabel my_videos/ --exercise squat --out labels/
    Run the whole loop:          dvc repro
    """


def main() -> None:
    """Console script: one line for a user's error, no traceback; Ctrl-C says so and exits 130."""
    try:
        status = cli.main(standalone_mode=False)
    except RepsetError as error:
        click.echo(f"repset: {error}", err=True)
        sys.exit(error.exit_code)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("repset: stopped. What was finished is kept; run the same command again to go on.", err=True)
        sys.exit(130)
    sys.exit(status if isinstance(status, int) else 0)
