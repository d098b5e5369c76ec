"""Archives made to harm whoever opens them, each beside a harmless one of the same kind; seeded, no two alike."""

import gzip
import io
import stat
import struct
import tarfile
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from repset.sources.tree import Limits

Rng = np.random.Generator
LABELS = b"10,20,3,squats\n"
SET = {"w00/w00_labels.csv": LABELS}
UNSAFE = "expected an archive that is safe to open, found {}. Do not use it unless you made it yourself."
DAMAGED = "archive, found one that is cut off or damaged ({}"


@dataclass(frozen=True)
class Attack:
    """What lies in raw/ (name → content, or what makes it), what the guard says, and the benign twin.

    Attributes:
        says: part of the sentence that no other guard has.
        limits: bounds of an archive, lower than the real ones so that a bomb can be small.
    """

    says: str
    hostile: dict[str, bytes | Callable[[Path], None]]
    benign: dict[str, bytes | Callable[[Path], None]]
    family: str = "mmfit"
    format: str | None = None
    limits: Limits | None = None
    archive: bool = True  # met by `repset pull` already


def word(rng: Rng, length: int = 8) -> str:
    return "".join("abcdefghijkmnopqrstuvwxyz"[i] for i in rng.integers(0, 25, length))


def zipped(files: dict[str, bytes], change: Callable[[zipfile.ZipInfo], None] = lambda info: None) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            info = zipfile.ZipInfo(name)
            info.compress_type, info.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            change(info)
            archive.writestr(info, data)
    return out.getvalue()


def tarred(files: dict[str, bytes], change: Callable[[tarfile.TarInfo], None] = lambda info: None) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            change(info)
            archive.addfile(info, io.BytesIO(data))
    return gzip.compress(out.getvalue(), 1)


def either(n: int, files: dict[str, bytes]) -> dict[str, bytes | Callable[[Path], None]]:
    """The files as a zip or, every other time, as a tar.gz."""
    return {"set.zip": zipped(files)} if n % 2 else {"set.tar.gz": tarred(files)}


def named(n: int, name: str, says: str, good: str, **more: bytes) -> Attack:
    """A set with one more file whose name is the attack."""
    return Attack(says, either(n, SET | {name: LABELS}), either(n, SET | {good: LABELS}))


def traversal(n: int, rng: Rng) -> Attack:
    a, b = word(rng), word(rng)
    name = [
        f"../{a}.csv",
        f"{a}/../../{b}.csv",
        f"../../../../{a}/{b}",
        f"w00/{'../' * 12}{a}",
        f"{a}/..",
        f"..\\{a}.csv",
        f"{a}\\..\\..\\{b}.csv",
        f".//../{a}",
        f"w00/./..//../{a}.csv",
        f"..//{a}",
    ][n]
    return named(n, name, UNSAFE.format(f"the name {name!r}, which leads outside"), f"{a}/..{b}..csv")


def absolute(n: int, rng: Rng) -> Attack:
    a = word(rng)
    name = [f"/{a}.csv", f"/etc/cron.d/{a}", f"//{a}/share/x.csv", f"\\\\{a}\\share\\x.csv", f"\\{a}.csv"][n // 2]
    return named(n, name, UNSAFE.format(f"the name {name!r}, which leads outside"), f"etc/cron.d/{a}")


def drive(n: int, rng: Rng) -> Attack:
    letter, a = "CcDzZ"[n // 2], word(rng)
    name = f"{letter}:{['/', '', '/Windows/', '/../', ''][n // 2]}{a}.csv"
    return named(n, name, UNSAFE.format(f"the name {name!r}, which leads outside"), f"{letter}/{a}.csv")


def links(n: int, rng: Rng) -> Attack:
    a = word(rng)
    target = ["/etc/passwd", "../../..", ".", f"{a}.csv", "w00"][n // 2]

    def zip_link(info: zipfile.ZipInfo) -> None:
        if info.filename == a:
            info.external_attr = (stat.S_IFLNK | 0o777) << 16

    def tar_link(info: tarfile.TarInfo) -> None:
        if info.name == a:
            info.type, info.linkname, info.size = tarfile.SYMTYPE, target, 0

    files = SET | {a: target.encode()}
    hostile = {"set.zip": zipped(files, zip_link)} if n % 2 else {"set.tar.gz": tarred(files, tar_link)}
    return Attack(UNSAFE.format(f"the link or device {a!r}"), {**hostile}, either(n, files))


def hard_links(n: int, rng: Rng) -> Attack:
    a = word(rng)
    target = ["/etc/shadow", "w00/w00_labels.csv", "../../x", a, "/"][n % 5]

    def change(info: tarfile.TarInfo) -> None:
        if info.name == a:
            info.type, info.linkname, info.size = tarfile.LNKTYPE, target, 0

    files = SET | {a: LABELS} if n < 5 else {a: LABELS} | SET
    return Attack(UNSAFE.format(f"the link or device {a!r}"), {"a.tgz": tarred(files, change)}, either(0, files))


def devices(n: int, rng: Rng) -> Attack:
    a = word(rng)

    def tar_device(info: tarfile.TarInfo) -> None:
        if info.name == a:
            info.type = (tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE)[n % 3]
            info.devmajor, info.devminor, info.size = 1, int(rng.integers(3, 9)), 0

    def zip_device(info: zipfile.ZipInfo) -> None:
        if info.filename == a:
            info.external_attr = (stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK)[n % 4] << 16

    files = SET | {a: b""}
    hostile = {"set.zip": zipped(files, zip_device)} if n % 2 else {"set.tar.gz": tarred(files, tar_device)}
    return Attack(UNSAFE.format(f"the link or device {a!r}"), {**hostile}, either(n, files))


def bombs(n: int, rng: Rng) -> Attack:
    size = int(rng.integers(1 << 20, 3 << 20))
    limits = Limits(ratio_from_bytes=1 << 19)
    parts = 1 + n // 4
    files = {f"{word(rng)}.bin": bytes(size // parts) for _ in range(parts)}
    noise = {name: rng.bytes(len(data)) for name, data in files.items()}
    return Attack(" bytes packed into ", either(n, SET | files), either(n, SET | noise), limits=limits)


def crowds(n: int, rng: Rng) -> Attack:
    """Too many files, or folders, which a table of files does not count."""
    many = {f"{word(rng)}/{i}{'/' if n % 4 < 2 else ''}": b"" for i in range(20)}
    few = dict(list(many.items())[:5])
    return Attack(
        UNSAFE.format("more than 30 files"), either(n, SET | many), either(n, SET | few), limits=Limits(files=30)
    )


def giants(n: int, rng: Rng) -> Attack:
    a, size = word(rng), int(rng.integers(2000, 9000))
    if n < 6:
        limits, says = Limits(file_bytes=1999), UNSAFE.format(f"{a!r} of {size:,} bytes")
    else:
        limits, says = Limits(total_bytes=1900), UNSAFE.format("more than 1,900 bytes unpacked")
    files = {a: rng.bytes(size)}
    if n % 2 == 0 and n >= 6:
        limits = Limits(total_bytes=12_000)  # a tar's own blocks count
        files, says = {a: rng.bytes(size + 12_000)}, UNSAFE.format("more than 12,000 bytes unpacked")
    return Attack(says, either(n, SET | files), either(n, SET | {a: rng.bytes(1500)}), limits=limits)


def nested(n: int, rng: Rng) -> Attack:
    """An archive in an archive: it stays what it is, bytes that are no label file."""
    inner = zipped({word(rng): bytes(1 << 18)}) if n % 2 else tarred({word(rng): bytes(1 << 18)})
    for _ in range(n // 4):
        inner = zipped({word(rng): inner})
    if n >= 8:
        return Attack(DAMAGED.format(""), {"set.tar.gz": gzip.compress(tarred(SET))}, {"set.tar.gz": tarred(SET)})
    says = "expected rows 'start, end, repetitions, exercise', found a file that is no text"
    return Attack(
        says, either(n, {"w00/w00_labels.csv": b"\xff" + inner}), either(n, SET | {"inner.zip": inner}), archive=False
    )


def lying_sizes(n: int, rng: Rng) -> Attack:
    """The table states another size than the file has, with a checksum that fits what is stated."""
    data, name = b"10,20,3,squats\n" * int(rng.integers(300, 900)), "w00/w00_labels.csv"
    plain = zipped({name: data}) if n < 7 else _stored(name, data)
    stated = [
        len(data) - 15,
        15,
        1,
        len(data) + 1,
        len(data) * 50,
        0,
        len(data) - 1,
        len(data) + 9,
        30,
        len(data) - 15,
    ][n]
    crc = zlib.crc32(data[: stated + 1])
    at = plain.index(b"PK\x01\x02")
    hostile = (
        plain[: at + 16]
        + struct.pack("<I", crc)
        + plain[at + 20 : at + 24]
        + struct.pack("<I", stated)
        + plain[at + 28 :]
    )
    says = f"{name} is not of the {stated:,} bytes it states)"
    return Attack(says, {"set.zip": hostile}, {"set.zip": zipped(SET | {word(rng): data})})


def _stored(name: str, data: bytes) -> bytes:
    return zipped({name: data}, lambda info: setattr(info, "compress_type", zipfile.ZIP_STORED))


def overlaps(n: int, rng: Rng) -> Attack:
    """Two rows of the table for one place in the file, or the second a little behind the first."""
    a, b = (word(rng) for _ in range(2))
    plain = bytearray(zipped(SET | {a: rng.bytes(500), b: rng.bytes(900)}))
    first = plain.index(b"PK\x01\x02")
    rows = [first]
    while (following := plain.find(b"PK\x01\x02", rows[-1] + 4)) > 0:
        rows.append(following)
    offsets = [struct.unpack_from("<I", plain, row + 42)[0] for row in rows]
    struct.pack_into("<I", plain, rows[2] + 42, offsets[1] + (0 if n < 5 else 40 * (n - 4)))
    return Attack(
        "in the same place. Do not use it", {"set.zip": bytes(plain)}, {"set.zip": zipped(SET | {a: b"1", b: b"1"})}
    )


def locked(n: int, rng: Rng) -> Attack:
    """Encrypted, or packed by a method that needs another program."""
    plain = bytearray(zipped(SET | {word(rng): b"x"}))
    at = plain.rindex(b"PK\x01\x02")
    if n < 5:
        plain[at + 8] |= 1
        return Attack(
            "expected an archive without a password, found an encrypted one",
            {"a.zip": bytes(plain)},
            {"a.zip": zipped(SET)},
        )
    struct.pack_into("<H", plain, at + 10, method := [1, 9, 12, 14, 98][n - 5])
    return Attack(f"found method {method} in", {"a.zip": bytes(plain)}, {"a.zip": zipped(SET)})


def control_characters(n: int, rng: Rng) -> Attack:
    a, b = word(rng), word(rng)
    mark = ["\x07", "\n", "\x1b[2J", "\r", "\x7f", "\x85", "\t", "\x9b", "\x00", "\x01"][n]
    name = f"{a}{mark}{b}.csv"
    says = UNSAFE.format(f"the name {name!r}, which is not text")
    if mark == "\x00":  # zipfile itself stops at it when it writes
        plain = zipped(SET | {f"{a}~{b}.csv": LABELS}).replace(f"{a}~".encode(), f"{a}\x00".encode())
        return Attack(says, {"set.zip": plain}, either(1, SET | {f"{a}~{b}.csv": LABELS}))
    return named(n, name, says, f"{a}~{b}.csv")


def odd_encodings(n: int, rng: Rng) -> Attack:
    """Marks that turn or break the line, and bytes that are no UTF-8 (the long way to write `../` among them)."""
    a = word(rng)
    if n < 5:
        name = a + "\u202e\u2066\u2028\u2029\u202d"[n] + "gpj.csv"
        return named(n, name, UNSAFE.format(f"the name {name!r}, which is not text"), f"{a}é日本.csv")
    raw = [b"\xff\xfe", b"\xc0\xae\xc0\xae", b"\xed\xa0\x80", b"\x80", b"\xe0\x80\xaf"][n - 5] + a.encode()
    good = either(n, SET | {f"ü{a}": LABELS})
    if n % 2:
        place = zipped(SET | {"é" + "~" * (len(raw) - 2): LABELS}).replace("é".encode() + b"~" * (len(raw) - 2), raw)
        return Attack(DAMAGED.format("'utf-8' codec can't decode byte"), {"set.zip": place}, good)
    name = raw.decode("utf-8", "surrogateescape")
    hostile = {"set.tar.gz": tarred(SET | {name: LABELS})}
    return Attack("which is not text. Do not use it unless you made it yourself.", {**hostile}, good)


def one_name_elsewhere(n: int, rng: Rng) -> Attack:
    a = word(rng)
    one, other = [
        (f"w/{a}", f"w/{a.upper()}"),
        (f"{a}é", unicodedata.normalize("NFD", f"{a}é")),
        (f"{a}ß", f"{a}SS"),
        (f"W/{a}", f"w/{a}"),
        (f"{a}ſ", f"{a}s"),
    ][n // 2]
    says = f"expected file names that differ by more than capitals, found {one!r} and {other!r}, which are one on other"
    return Attack(says, either(n, SET | {one: b"1", other: b"2"}), either(n, SET | {one: b"1", f"{other}2": b"2"}))


def doubles(n: int, rng: Rng) -> Attack:
    a = word(rng)
    if n < 5:
        name, says = f"./{a}" if n < 2 else f"{a}//x", " twice. Do not use it"
        other = a if n < 2 else f"{a}/x"
    else:
        other, name, says = f"{a}/b/{word(rng)}", f"{a}/b" if n % 3 else a, " as a file and as a folder"
    files = {other: b"1", name: b"2"} if n % 2 else {name: b"2", other: b"1"}
    return Attack(says, either(n // 2, SET | files), either(n // 2, SET | {a: b"1"}))


def long_names(n: int, rng: Rng) -> Attack:
    a = word(rng)
    name = [f"{a * 32}", f"{a}/{'é' * 128}", "/".join([a] * 460), "/".join("d" * 66), f"w/{'日' * 90}.csv"][n // 2]
    says = f"a name {len(name.split('/')):,} folders deep" if n // 2 == 3 else f"a name of {len(name):,} characters"
    return named(n, name, UNSAFE.format(says), "/".join(["d"] * 60 + [a * 20]))


ARCHIVES: tuple[Callable[[int, Rng], Attack], ...] = (
    traversal,
    absolute,
    drive,
    links,
    hard_links,
    devices,
    bombs,
    crowds,
    giants,
    nested,
    lying_sizes,
    overlaps,
    locked,
    control_characters,
    odd_encodings,
    one_name_elsewhere,
    doubles,
    long_names,
)


def attacks(kind: Callable[[int, Rng], Attack], seed: int = 4) -> Iterator[Attack]:
    """Ten of a kind."""
    rng = np.random.default_rng([seed, zlib.crc32(kind.__name__.encode())])
    for n in range(10):
        yield kind(n, rng)
