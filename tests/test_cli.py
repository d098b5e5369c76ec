"""The command line's own behaviour: errors in one line, exit codes, lazy loading."""

import subprocess
import sys
from pathlib import Path

from repset import __version__


def repset(*words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "repset", *words], capture_output=True, text=True, cwd=cwd)


def test_version() -> None:
    assert repset("--version").stdout == f"repset, version {__version__}\n"


def test_an_unknown_command_is_a_usage_error() -> None:
    done = repset("labl")
    assert done.returncode == 2
    assert "No such command 'labl'" in done.stderr


def test_outside_a_project_one_sentence_says_what_to_do(tmp_path: Path) -> None:
    done = repset("split", "penn_action", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr == (
        f"repset: {tmp_path.resolve()}: expected a repset project (a folder with dvc.yaml) here or above, found none. "
        "Change into the cloned repository or set REPSET_ROOT.\n"
    )


def test_help_lists_every_section() -> None:
    text = repset("--help").stdout
    for section in ("The loop:", "People:", "Project:"):
        assert section in text
