"""Archives are read in place and hostile or damaged ones refused in one sentence."""

import gzip
import io
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from repset.errors import DataError
from repset.sources import tree as tree_module
from repset.sources.tree import FolderTree, Limits, TarTree, ZipTree, open_archive, open_raw

UNSAFE = "x: expected an archive that is safe to open, found {}. Do not use it unless you made it yourself."


def write_zip(path: Path, files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def write_tar(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def everything(tree: tree_module.Tree) -> dict[str, bytes]:
    return dict(tree.walk(lambda name: True))


@settings(max_examples=25, deadline=None)
@given(st.dictionaries(st.from_regex(r"[a-z]{1,4}/[a-z0-9]{1,6}\.bin", fullmatch=True), st.binary(max_size=600)))
def test_folder_zip_and_tar_read_back_what_was_put_in(tmp_path_factory: pytest.TempPathFactory, files: dict) -> None:
    folder = tmp_path_factory.mktemp("t")
    for name, data in files.items():
        (folder / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "tree" / name).write_bytes(data)
    (folder / "tree").mkdir(exist_ok=True)
    trees = (
        FolderTree(folder / "tree", "x"),
        ZipTree(write_zip(folder / "a.zip", files), "x"),
        TarTree(write_tar(folder / "a.tar.gz", files), "x"),
    )
    for tree in trees:
        assert everything(tree) == files
        assert tree.names() == sorted(files)
        for name, data in files.items():
            assert tree.read(name) == data


@pytest.mark.parametrize("name", ["../out.txt", "/etc/out.txt", "a/../../out.txt", "a\\..\\out.txt", "C:/out.txt"])
@pytest.mark.parametrize("write", [write_zip, write_tar])
def test_a_name_that_leads_outside_is_refused(tmp_path: Path, name: str, write) -> None:
    path = write(tmp_path / "a", {name: b"1"})
    with pytest.raises(DataError) as caught:
        everything(open_archive(path, "x"))
    assert str(caught.value) == UNSAFE.format(f"the name {name!r}, which leads outside")


def test_a_link_in_a_zip_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        info = zipfile.ZipInfo("link")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(info, "/etc/passwd")
    with pytest.raises(DataError) as caught:
        open_archive(path, "x")
    assert str(caught.value) == UNSAFE.format("the link or device 'link'")


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_a_link_or_device_in_a_tar_is_refused(tmp_path: Path, kind: bytes) -> None:
    path = tmp_path / "a.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        info = tarfile.TarInfo("bad")
        info.type, info.linkname = kind, "/etc/passwd"
        archive.addfile(info)
    with pytest.raises(DataError) as caught:
        everything(open_archive(path, "x"))
    assert str(caught.value) == UNSAFE.format("the link or device 'bad'")


def test_a_link_in_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "t").mkdir()
    (tmp_path / "t" / "link").symlink_to("/etc")
    with pytest.raises(DataError) as caught:
        FolderTree(tmp_path / "t", "x").names()
    assert str(caught.value) == "x/link: expected a file or folder, found a link. Replace it by what it points to."


@pytest.mark.parametrize("write", [write_zip, write_tar])
def test_a_bomb_is_refused(tmp_path: Path, write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree_module, "LIMITS", Limits(ratio_from_bytes=1 << 20))
    path = write(tmp_path / "a", {"zeros": bytes(2 << 20)})
    with pytest.raises(DataError) as caught:
        everything(open_archive(path, "x"))
    assert str(caught.value) == UNSAFE.format(f"2,097,152 bytes packed into {path.stat().st_size:,}")


@pytest.mark.parametrize("write", [write_zip, write_tar])
def test_too_many_files_and_too_large_files_are_refused(tmp_path: Path, write, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a", {"one": b"1", "two": b"22"})
    for limits, found in (
        (Limits(files=1), "more than 1 files"),
        (Limits(file_bytes=1), "'two' of 2 bytes"),
        (Limits(total_bytes=2), "more than 2 bytes unpacked"),
    ):
        monkeypatch.setattr(tree_module, "LIMITS", limits)
        with pytest.raises(DataError) as caught:
            everything(open_archive(path, "x"))
        assert str(caught.value) == UNSAFE.format(found)


def test_the_same_name_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("one", b"1")
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("one", b"2")
    with pytest.raises(DataError) as caught:
        open_archive(path, "x")
    assert str(caught.value) == UNSAFE.format("'one' twice")


def test_a_truncated_zip_says_so(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", {"one": bytes(range(256)) * 40}, zipfile.ZIP_STORED)
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(DataError) as caught:
        open_archive(path, "x")
    assert str(caught.value) == (
        "x: expected a whole zip archive, found one that is cut off or damaged (File is not a zip file). "
        "Pull it again, or ask its sender for a whole copy."
    )


def test_a_damaged_member_of_a_zip_says_so(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", {"one": b"A" * 1000}, zipfile.ZIP_STORED)
    path.write_bytes(path.read_bytes().replace(b"AAAA", b"AABA", 1))
    with pytest.raises(DataError) as caught:
        everything(open_archive(path, "x"))
    assert str(caught.value) == (
        "x: expected a whole zip archive, found one that is cut off or damaged (Bad CRC-32 for file 'one'). "
        "Pull it again, or ask its sender for a whole copy."
    )


@pytest.mark.parametrize("keep", [0.2, 0.5, 0.9, 0.999])
def test_a_truncated_tar_never_passes_as_whole(tmp_path: Path, keep: float) -> None:
    noise = bytes((i * i * 2654435761 >> 7) & 255 for i in range(60_000))
    path = write_tar(tmp_path / "a.tar.gz", {f"{i}": noise[i * 10_000 : (i + 1) * 10_000] for i in range(6)})
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * keep)])
    with pytest.raises(DataError) as caught:
        everything(open_archive(path, "x"))
    message = str(caught.value)
    assert message.startswith("x: expected a whole tar.gz archive, found one that is cut off or damaged (")
    assert message.endswith("). Pull it again, or ask its sender for a whole copy.")


def test_a_wrong_checksum_at_the_end_of_a_tar_is_noticed(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tar.gz", {"one": b"1" * 100})
    data = bytearray(path.read_bytes())
    data[-6] ^= 1
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"found one that is cut off or damaged \(CRC check failed"):
        everything(open_archive(path, "x"))


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"dear reader,\nthis is no archive\n", "a text file"),
        (b"<html><body>Sign in</body></html>", "a web page or XML"),
        (b"", "an empty file"),
        (bytes(range(200)), "some other kind of file"),
        (gzip.compress(b"x")[1:], "some other kind of file"),
    ],
)
def test_what_is_no_archive_is_named_for_what_it_is(tmp_path: Path, content: bytes, found: str) -> None:
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(DataError) as caught:
        open_archive(tmp_path / "a.zip", "x")
    assert str(caught.value) == (
        f"x: expected a zip or tar.gz archive, found {found}. Check that this is the file you meant."
    )


def test_raw_is_its_archive_else_the_folder_itself(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        open_raw(tmp_path / "none", "raw", "repset pull s")
    assert str(caught.value) == "raw: expected what `repset pull` brings, found no such folder. Run: repset pull s."
    assert isinstance(open_raw(tmp_path, "raw", "repset pull s"), FolderTree)
    write_zip(tmp_path / "a.zip", {"one": b"1"})
    assert open_raw(tmp_path, "raw", "repset pull s").at("one") == "raw/a.zip:one"
    write_zip(tmp_path / "b.zip", {"one": b"1"})
    with pytest.raises(DataError) as caught:
        open_raw(tmp_path, "raw", "repset pull s")
    assert str(caught.value) == "raw: expected one archive, found 2 (a.zip, b.zip). Remove it and run: repset pull s."


def test_files_that_operating_systems_leave_behind_are_not_seen(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", {"a/one": b"1", "__MACOSX/a/one": b"2", "a/.DS_Store": b"3", "a/._one": b"4"})
    assert open_archive(path, "x").names() == ["a/one"]
