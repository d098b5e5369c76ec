"""One training in several processes: the same weights in each, as one process with the whole batch gives."""

import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from click.testing import CliRunner

from repset.cli import cli
from repset.learn import fit, processes, stages
from repset.learn.order import Shuffle
from repset.project import Project
from tests.test_fit import Points, plan

pytestmark = pytest.mark.train


def network() -> torch.nn.Module:
    """Without dropout, which is drawn in each process by itself; with weights that no answer hangs on, as an encoder
    that is cut to a few levels has."""
    net = torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))
    net[0].spare = torch.nn.Linear(2, 2)
    return net


WORKER = """
import sys
from pathlib import Path
import torch
from repset.learn import fit, processes
from tests.test_fit import Points, plan
from tests.test_processes import network
folder = Path(sys.argv[1])
fit.CHECKPOINT_S = 0.0  # every process saves after every epoch, or all would wait for each other
device = fit.prepare(3, "cpu")
own = folder / f"rank{processes.rank()}"
own.mkdir()
done = fit.train(network(), Points(32), Points(8), plan(batch=4, epochs=3), device, folder / "scratch", own)
torch.save(done.state, own / "state.pt")
(own / "steps").write_text(str(done.facts["steps"]))
"""


def python(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Python on its own in a folder, with this package."""
    path = os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    return subprocess.run(
        [sys.executable, *arguments], cwd=folder, env={**os.environ, "PYTHONPATH": path}, timeout=300, text=True,
        capture_output=True, check=False,
    )  # fmt: skip


def test_two_processes_learn_what_one_with_the_whole_batch_learns(tmp_path: Path) -> None:
    (tmp_path / "worker.py").write_text(WORKER)
    root = Path(__file__).parents[1]
    torchrun = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    done = python(root, *torchrun, str(tmp_path / "worker.py"), str(tmp_path))
    assert done.returncode == 0, done.stderr
    first, second = (torch.load(tmp_path / f"rank{rank}" / "state.pt", weights_only=True) for rank in (0, 1))
    device = fit.prepare(3, "cpu")
    whole = fit.train(
        network(), Points(32), Points(8), plan(batch=8, epochs=3), device, tmp_path / "one", tmp_path / "log"
    )
    assert whole.facts["steps"] == 12
    assert [(tmp_path / f"rank{rank}" / "steps").read_text() for rank in (0, 1)] == ["12", "12"]
    assert [(tmp_path / f"rank{rank}" / "metrics.json").is_file() for rank in (0, 1)] == [True, False]
    for name, value in whole.state.items():
        assert torch.equal(first[name], second[name]), name
        torch.testing.assert_close(first[name], value, rtol=1e-4, atol=1e-5)


def test_each_process_has_as_many_items_and_none_twice() -> None:
    keys = [list(Shuffle(11, 5, rank=rank, world=3)) for rank in range(3)]
    assert [len(mine) for mine in keys] == [3, 3, 3]
    assert len({item for mine in keys for _, item in mine}) == 9
    assert list(Shuffle(11, 5))[:9] == [key for step in zip(*keys, strict=True) for key in step]


@pytest.mark.parametrize("device", ["auto", "cuda"])
def test_devices_that_are_not_there_are_one_sentence(
    device: str, monkeypatch: pytest.MonkeyPatch, project: Project
) -> None:
    monkeypatch.chdir(project.root)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(processes, "_torchrun", lambda arguments: pytest.fail("started"))
    done = CliRunner().invoke(cli, ["train", "segmentation", "--device", device, "--devices", "2"])
    assert done.exit_code != 0
    assert "--devices 2: no CUDA devices are visible. Say --devices 1, or --device cpu" in str(done.exception)


def test_of_several_processes_only_the_first_writes(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Path] = []

    def train(project: Project, tables: object, group: object, out: Path, *rest: object) -> None:
        (out / "card.json").write_text("{}")
        seen.append(out)

    monkeypatch.setattr(stages, "load_model", lambda name: SimpleNamespace(fit=train))
    monkeypatch.setattr(stages, "_all_there", lambda tables: None)
    for name, value in {"TORCHELASTIC_RUN_ID": "x", "WORLD_SIZE": "2", "RANK": "1"}.items():
        monkeypatch.setenv(name, value)
    folder = stages.train_model(project, "segmentation", "train", "cpu")
    assert not folder.exists()
    assert not seen[0].exists()
    monkeypatch.setenv("RANK", "0")
    assert (stages.train_model(project, "segmentation", "train", "cpu") / "card.json").is_file()


def test_torchrun_and_the_option_must_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"TORCHELASTIC_RUN_ID": "x", "WORLD_SIZE": "4", "RANK": "2"}.items():
        monkeypatch.setenv(name, value)
    assert (processes.world(), processes.rank()) == (4, 2)
    processes.share(4, "cpu")
    with pytest.raises(Exception, match=r"--devices 1, but torchrun has started 4\. Say --devices 4\."):
        processes.share(1, "cpu")


def test_the_command_starts_itself_again(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[list[str]] = []
    monkeypatch.setattr(processes, "_torchrun", ran.append)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # or it would be set for all that comes after
    monkeypatch.setattr(sys, "argv", ["repset", "train", "exercise", "--device", "cpu", "--devices", "3"])
    processes.share(1, "auto")
    processes.share(3, "cpu")
    assert ran == [
        ["--standalone", "--nproc-per-node", "3", "-m", "repset", "train", "exercise", "--device", "cpu",
         "--devices", "3"],
    ]  # fmt: skip


def test_an_error_in_several_processes_is_its_sentence_and_nothing_else(project: Project) -> None:
    done = python(project.root, "-m", "repset", "train", "segmentation", "--device", "cpu", "--devices", "2")
    assert done.returncode == 1
    assert all(re.match(r"repset: \S+: expected .+, found no file\.", line) for line in done.stderr.splitlines())
    assert 1 <= len(done.stderr.splitlines()) <= 2  # each process says it, unless the first one ends the other


@pytest.mark.parametrize(
    ("ending", "status", "said"),
    [("os.kill(os.getpid(), signal.SIGKILL)", 1, "ended by SIGKILL"), ("sys.exit(3)", 3, ""), ("pass", 0, "")],
)
def test_how_a_process_ends_is_how_the_command_ends(tmp_path: Path, ending: str, status: int, said: str) -> None:
    worker = f"import os, signal, sys, time\nif os.environ['RANK'] == '1':\n    {ending}\nelse:\n    time.sleep(2)\n"
    (tmp_path / "worker.py").write_text(worker)
    arguments = ["--standalone", "--nproc-per-node", "2", "worker.py"]
    done = python(tmp_path, "-c", f"from repset.learn import processes; processes._torchrun({arguments})")
    assert done.returncode == status
    assert said in done.stderr if said else not done.stderr
