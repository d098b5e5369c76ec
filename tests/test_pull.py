"""Pulling: verified before it takes its place, resumed, never half-written, and the key never shown."""

import io
import os
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from repset.cli import cli
from repset.errors import DataError, RepsetError
from repset.params import SourceSpec
from repset.project import Project
from repset.records import sha256_bytes
from repset.sources.fetch import pull_source

SPEC = SourceSpec(family="mmfit", rendered=False, origin="x")
WAY_OUT = "Or pull from a copy on this machine: repset pull mm --from FILE."
KEY = "aSecretKey123"


def mmfit_zip(reps: int = 10) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        info = zipfile.ZipInfo("mm-fit/w00/w00_labels.csv")
        archive.writestr(info, f"110,120,{reps},squats\n" * 200)
    return out.getvalue()


def pull(project: Project, origin: str, spec: SourceSpec = SPEC, force: bool = False, **options: Any) -> bool:
    def no_sample(folder: Path) -> None:
        raise AssertionError("nothing to draw")

    arguments = {"render": no_sample, "drawn_from": {}} | options
    return pull_source(project, "mm", spec, origin, force=force, meter=lambda done, total: None, **arguments)


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def nothing_left_over(project: Project) -> bool:
    folder = project.source("mm")
    return not folder.exists() or {p.name for p in folder.iterdir()} <= {"raw"}


# --- local files and folders -----------------------------------------------------------------------------------------


def test_a_local_archive_is_copied_as_it_is(project: Project, tmp_path: Path) -> None:
    path = tmp_path / "mm-fit.zip"
    path.write_bytes(mmfit_zip())
    assert pull(project, str(path))
    assert contents(project.raw("mm")) == {"mm-fit.zip": mmfit_zip()}
    copy = project.raw("mm") / "mm-fit.zip"
    assert not copy.is_symlink()
    assert copy.stat().st_ino != path.stat().st_ino
    assert nothing_left_over(project)


def test_what_is_there_and_whole_is_left_alone(project: Project, tmp_path: Path) -> None:
    path = tmp_path / "mm-fit.zip"
    path.write_bytes(mmfit_zip())
    assert pull(project, str(path))
    assert not pull(project, str(path))
    assert pull(project, str(path), force=True)
    (project.raw("mm") / "mm-fit.zip").write_bytes(b"damaged since")
    assert pull(project, str(path))
    assert contents(project.raw("mm")) == {"mm-fit.zip": mmfit_zip()}
    path.write_bytes(mmfit_zip(11))
    assert pull(project, str(path))
    assert contents(project.raw("mm")) == {"mm-fit.zip": mmfit_zip(11)}


def test_a_folder_becomes_one_archive_of_what_its_reader_needs(project: Project, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    (folder / "w01").mkdir(parents=True)
    (folder / "w01" / "w01_labels.csv").write_text("1,9,3,squats\n")
    (folder / "w01" / "w01_sw_l_acc.npy").write_bytes(b"inertial")
    (folder / "w01" / "w01_rgb.mp4").write_bytes(b"film")
    assert pull(project, str(folder))
    (archive,) = project.raw("mm").iterdir()
    assert archive.name == "mm.zip"
    with zipfile.ZipFile(archive) as opened:
        assert opened.namelist() == ["w01/w01_labels.csv", "w01/w01_sw_l_acc.npy"]
    first = archive.read_bytes()
    os.utime(folder / "w01" / "w01_labels.csv", (1e9, 1e9))
    assert pull(project, str(folder))
    assert (project.raw("mm") / "mm.zip").read_bytes() == first


def test_a_folder_that_holds_the_archive_gives_the_archive_and_its_truth(project: Project, tmp_path: Path) -> None:
    folder = tmp_path / "raw"
    folder.mkdir()
    (folder / "mm-fit.zip").write_bytes(mmfit_zip())
    (folder / "truth.json").write_text("{}")
    assert pull(project, str(folder))
    assert contents(project.raw("mm")) == {"mm-fit.zip": mmfit_zip(), "truth.json": b"{}"}


def test_an_archive_gets_the_ending_its_content_has(project: Project, tmp_path: Path) -> None:
    path = tmp_path / "download"
    path.write_bytes(mmfit_zip())
    assert pull(project, str(path))
    assert list(contents(project.raw("mm"))) == ["download.zip"]


def refused(project: Project, origin: str, spec: SourceSpec = SPEC) -> str:
    """The message, after checking that what was there before is untouched and nothing else is left."""
    project.raw("mm").mkdir(parents=True, exist_ok=True)
    (project.raw("mm") / "before").write_bytes(b"old")
    with pytest.raises(RepsetError) as caught:
        pull(project, origin, spec)
    assert contents(project.raw("mm")) == {"before": b"old"}
    assert nothing_left_over(project)
    return str(caught.value)


def test_an_empty_folder_and_a_folder_of_something_else(project: Project, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    expected = f"{folder}: expected an MM-Fit folder (w00/w00_labels.csv …), found"
    assert refused(project, str(folder)) == f"{expected} an empty folder. Check the path."
    (folder / "holiday.txt").write_text("x")
    assert refused(project, str(folder)) == f"{expected} none of these among its 1 files. Check the path."


def test_no_such_file(project: Project, tmp_path: Path) -> None:
    assert refused(project, f"{tmp_path}/none.zip") == (
        f"{tmp_path}/none.zip: expected a file, a folder, an https address or roboflow:…, found no such file. "
        "Check the path."
    )


def test_a_text_file(project: Project, tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_text("this is a text file\n" * 30)
    assert refused(project, f"{tmp_path}/a.zip") == (
        f"{tmp_path}/a.zip: expected a zip or tar.gz archive, found a text file. Check that this is the file you meant."
    )


def test_a_truncated_zip(project: Project, tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(mmfit_zip()[:-60])
    assert refused(project, f"{tmp_path}/a.zip") == (
        f"{tmp_path}/a.zip: expected a whole zip archive, found one that is cut off or damaged "
        "(File is not a zip file). Pull it again, or ask its sender for a whole copy."
    )


def test_a_truncated_tar(project: Project, tmp_path: Path) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        info = tarfile.TarInfo("w00/w00_labels.csv")
        info.size = 13
        archive.addfile(info, io.BytesIO(b"1,9,3,squats\n"))
    (tmp_path / "a.tar.gz").write_bytes(out.getvalue()[:-9])
    assert refused(project, f"{tmp_path}/a.tar.gz") == (
        f"{tmp_path}/a.tar.gz: expected a whole tar.gz archive, found one that is cut off or damaged "
        "(Compressed file ended before the end-of-stream marker was reached). "
        "Pull it again, or ask its sender for a whole copy."
    )


def test_an_archive_of_another_set(project: Project, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("train/_classes.csv", "x")
    assert refused(project, f"{tmp_path}/a.zip") == (
        f"{tmp_path}/a.zip: expected an MM-Fit folder (w00/w00_labels.csv …), found another kind of archive. "
        "Check the origin and the family."
    )


def test_pinned_values_are_held_to(project: Project, tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(mmfit_zip())
    size, sha = len(mmfit_zip()), sha256_bytes(mmfit_zip())
    wrong = SPEC.model_copy(update={"sha256": "0" * 64})
    assert refused(project, str(path), wrong) == (
        f"{path}: expected SHA-256 {'0' * 64}, as pinned, found {sha}. Take the original archive."
    )
    wrong = SPEC.model_copy(update={"size_bytes": 5})
    assert refused(project, str(path), wrong) == (
        f"{path}: expected 5 bytes, as pinned, found {size:,}. Take the original archive."
    )
    assert pull(project, str(path), SPEC.model_copy(update={"sha256": sha.upper(), "size_bytes": size}))


# --- the sample ------------------------------------------------------------------------------------------------------


def test_the_sample_is_drawn_once_for_the_same_parameters(project: Project) -> None:
    drawn: list[Path] = []

    def render(folder: Path) -> None:
        drawn.append(folder)
        (folder / "mm-fit.zip").write_bytes(mmfit_zip())
        (folder / "truth.json").write_text('{"reps": []}')

    assert pull(project, "sample", render=render, drawn_from={"seed": 7})
    assert not pull(project, "sample", render=render, drawn_from={"seed": 7})
    assert pull(project, "sample", render=render, drawn_from={"seed": 8})
    assert len(drawn) == 2
    assert sorted(contents(project.raw("mm"))) == ["mm-fit.zip", "truth.json"]


# --- the commands ----------------------------------------------------------------------------------------------------


@pytest.fixture
def run(project: Project, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    monkeypatch.chdir(project.root)
    return lambda *arguments: CliRunner().invoke(cli, list(arguments), catch_exceptions=True)


def test_pull_and_index_from_the_command_line(project: Project, tmp_path: Path, run: Callable[..., Any]) -> None:
    with zipfile.ZipFile(tmp_path / "fit.zip", "w") as archive:
        archive.writestr("w00/w00_labels.csv", "110,120,10,squats\n")
    size = (tmp_path / "fit.zip").stat().st_size
    result = run("pull", "mmfit", "--from", "fit.zip")
    assert (result.exit_code, result.stdout) == (0, f"mmfit: fit.zip ({size} bytes)\n")
    result = run("pull", "mmfit", "--from", "fit.zip")
    done = "is there already and whole, nothing done (--force brings it again)"
    assert result.stdout == f"mmfit: fit.zip ({size} bytes) {done}\n"
    result = run("index", "mmfit")
    assert (result.exit_code, result.stdout) == (0, "mmfit: 1 samples, 2 sets → datasets/mmfit/index\n")


def test_index_names_what_it_skipped(project: Project, run: Callable[..., Any]) -> None:
    raw = project.raw("mmfit")
    for workout, text in (("w00", "1,9,3,squats\n"), ("w01", "1,9,3,burpees\n")):
        (raw / workout).mkdir(parents=True)
        (raw / workout / f"{workout}_labels.csv").write_text(text)
    fault = (
        "datasets/mmfit/raw/w01/w01_labels.csv, line 1: expected an exercise of MM-Fit, found 'burpees'. "
        "Add it to repset.exercises."
    )
    result = run("index", "mmfit")
    assert isinstance(result.exception, DataError)
    assert (str(result.exception), result.exception.exit_code) == (fault, 1)
    assert not project.index("mmfit").exists()
    result = run("index", "mmfit", "--on-error", "skip")
    assert result.exit_code == 0
    assert result.stdout == "mmfit: 1 samples, 2 sets → datasets/mmfit/index\n"
    assert result.stderr == f"  skipped w01: {fault}\n"


def test_unknown_source_and_nothing_pulled(project: Project, run: Callable[..., Any]) -> None:
    for path in project.pipelines.glob("*.yaml"):
        if path.stem not in ("profile", "real", "mmfit", "roboflow"):
            path.unlink()
    assert str(run("pull", "penn").exception) == "penn: no such source. Sources: mmfit, roboflow."
    assert str(run("index", "mmfit").exception) == (
        "datasets/mmfit/raw: expected what `repset pull` brings, found no such folder. Run: repset pull mmfit."
    )
