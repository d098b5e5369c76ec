"""Tars whose headers lie, never end, or hide sparse files; seeded, each beside a harmless one."""

import gzip
import tarfile
from collections.abc import Callable

from hostile_archives import DAMAGED, LABELS, UNSAFE, Attack, Rng, word

BLOCK = tarfile.BLOCKSIZE
END = bytes(2 * BLOCK)


def header(name: str, size: int, kind: bytes = tarfile.REGTYPE, **fields: object) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.type = max(size, 0), kind
    for field, value in fields.items():
        setattr(info, field, value)
    return info.tobuf(tarfile.GNU_FORMAT)


def member(name: str, data: bytes, kind: bytes = tarfile.REGTYPE) -> bytes:
    return header(name, len(data), kind) + data + bytes(-len(data) % BLOCK)


def pax(kind: bytes = tarfile.XHDTYPE, **facts: str) -> bytes:
    """An extended header; `__` in a key stands for a full stop."""
    rows = b""
    for key, value in facts.items():
        row = f" {key.replace('__', '.')}={value}\n".encode()
        length = len(row) + 1
        while len(str(length)) + len(row) != length:
            length += 1
        rows += str(length).encode() + row
    return member("pax", rows, kind)


GOOD = member("w00/w00_labels.csv", LABELS)


def attack(says: str, *blocks: bytes, good: tuple[bytes, ...] = ()) -> Attack:
    hostile, benign = (gzip.compress(b"".join(part) + END, 1) for part in (blocks, (GOOD, *good)))
    return Attack(says, {"set.tar.gz": hostile}, {"set.tar.gz": benign})


def endless_headers(n: int, rng: Rng) -> Attack:
    """Headers of headers, which tarfile follows until Python's stack ends."""
    count, a = int(rng.integers(9, 2500)), word(rng)
    one = [
        member("././@LongLink", a.encode() + b"\0", tarfile.GNUTYPE_LONGNAME),
        pax(path=a),
        pax(comment=a),
        pax(tarfile.XGLTYPE, comment=a),
        member("././@LongLink", a.encode() + b"\0", tarfile.GNUTYPE_LONGLINK),
    ][n % 5]
    says = UNSAFE.format("more than 8 headers before one file")
    return attack(says, GOOD, one * count, member(a, b"1"), good=(one * 2, member(a, b"1")))


def large_headers(n: int, rng: Rng) -> Attack:
    """A header larger than memory, or one of digits alone, over which tarfile's search takes hours."""
    a = word(rng)
    if n < 5:
        size = [1 << 40, (1 << 20) + 1, 8**11 - 1, 1 << 33, 2 << 20][n]
        kind = [
            tarfile.XHDTYPE,
            tarfile.GNUTYPE_LONGNAME,
            tarfile.XGLTYPE,
            tarfile.GNUTYPE_LONGLINK,
            tarfile.SOLARIS_XHDTYPE,
        ][n]
        return attack(
            DAMAGED.format(f"a header of {size:,} bytes"),
            GOOD,
            header(a, size, kind),
            good=(pax(path=a), member(a, b"")),
        )
    text = b"1" * int(rng.integers(300_000, 1 << 20))
    text = text if n % 2 else b"12 " + text
    says = DAMAGED.format("an extended header that does not parse")
    return attack(
        says, GOOD, member("x", text, tarfile.XHDTYPE), member(a, b""), good=(pax(comment="1" * 1000), member(a, b""))
    )


def sparse_files(n: int, rng: Rng) -> Attack:
    """A few bytes that state gigabytes of holes, or a map of holes without end."""
    a = word(rng)
    if n < 4:
        block = bytearray(header(a, 512, tarfile.GNUTYPE_SPARSE))
        block[483:495] = b"%011o\0" % (1 << 32)
        block[148:156] = b" " * 8
        block[148:155] = b"%06o\0" % sum(block)
        return attack(
            UNSAFE.format(f"the sparse file {a!r}"), GOOD, bytes(block), bytes(512), good=(member(a, bytes(512)),)
        )
    facts = [
        {"GNU__sparse__size": "99999999999"},
        {"GNU__sparse__map": "0,1,2,3"},
        {"GNU__sparse__numblocks": "9" * 9},
        {"GNU__sparse__major": "1", "GNU__sparse__minor": "0", "GNU__sparse__realsize": "9" * 12},
        {"GNU__sparse__name": "../x", "GNU__sparse__major": "1"},
        {"GNU__sparse__offset": "-1"},
    ][n - 4]
    data = b"99999999\n" + b"0\n" * 2000
    return attack(
        UNSAFE.format("a sparse file"),
        GOOD,
        pax(**facts),
        member(a, data),
        good=(pax(comment="holes"), member(a, data)),
    )


def lying_headers(n: int, rng: Rng) -> Attack:
    """A size below nothing, which sends the reader backwards; a size that is no number; a file that is not there."""
    a = word(rng)
    negative = bytearray(header(a, 0))
    negative[124:136] = (256**12 - int(rng.integers(1, 1 << 20))).to_bytes(12, "big")
    negative[148:156] = b" " * 8
    negative[148:155] = b"%06o\0" % sum(negative)
    good = (pax(size="3"), member(a, b"123"))
    if n < 3:
        return attack(DAMAGED.format("a header of -"), GOOD, bytes(negative), good=good)
    if n < 6:
        size = ["-512", "1e9", "0x10"][n - 3]
        return attack(DAMAGED.format(f"a size of {size!r}"), GOOD, pax(size=size), member(a, b""), good=good)
    if n == 6:
        says = UNSAFE.format(f"{a!r} of {10**15 - 1:,} bytes")
        return attack(says, GOOD, pax(size="9" * 15), member(a, b"1"), good=good)
    if n == 7:
        return attack(DAMAGED.format("a header without its file"), GOOD, pax(path=a), good=good)
    key = ["path", "size"][n - 8]
    says = UNSAFE.format("one header that renames or resizes every file after it")
    return attack(
        says, pax(tarfile.XGLTYPE, **{key: "5"}), GOOD, good=(pax(tarfile.XGLTYPE, comment="5"), member(a, b""))
    )


def pax_names(n: int, rng: Rng) -> Attack:
    """The plain header names a harmless file, the extended one renames it."""
    a = word(rng)
    name = [
        f"../{a}",
        f"/etc/{a}",
        f"{a}/../../x",
        f"C:{a}",
        f"..\\{a}",
        "../" * 300 + a,
        f"/{a}",
        f"{a}\0.csv",
        f"{a}\x1b[1m",
        f"{a}\u202egpj",
    ][n]
    says = UNSAFE.format(f"the name {name!r}, which {'is not text' if n > 6 else 'leads outside'}")
    return attack(says, GOOD, pax(path=name), member(a, LABELS), good=(pax(path=f"{a}/ü.csv"), member(a, LABELS)))


def pax_links(n: int, rng: Rng) -> Attack:
    """A link whose target stands in an extended header, in the middle of a set."""
    a, kind = word(rng), tarfile.LNKTYPE if n % 2 else tarfile.SYMTYPE
    target = ["/etc/passwd", "..", f"{a}/x", "é", "/" * 300][n // 2]
    blocks = (pax(linkpath=target), header(a, 0, kind, linkname="w00/w00_labels.csv"), GOOD)
    return attack(UNSAFE.format(f"the link or device {a!r}"), *blocks, good=(pax(comment=target), member(a, b"")))


def after_the_end(n: int, rng: Rng) -> Attack:
    """Something behind the end of the tar or of the gzip, a wrong checksum, half a file: none passes as whole."""
    plain = b"".join([GOOD, member(word(rng), rng.bytes(3000))]) + END
    packed = gzip.compress(plain, 1)
    cut = int(rng.integers(40, len(packed) - 20))
    broken = bytearray(plain)
    broken[148] ^= 1
    hostile = [
        packed + b"PK\x03\x04" + rng.bytes(50),
        packed + b"x",
        packed[:cut],
        packed[:-1],
        packed[:-8] + bytes(8),
        gzip.compress(plain + member("late", b"1")),
        gzip.compress(plain + b"\0" * 4096 + b"hidden"),
        gzip.compress(bytes(broken)),
        packed[:cut] + rng.bytes(9) + packed[cut:],
        gzip.compress(plain[:-1500]),
    ][n]
    return Attack(
        "expected a whole tar.gz " + DAMAGED.format(""), {"set.tar.gz": hostile}, {"set.tar.gz": packed + bytes(n)}
    )


TARS: tuple[Callable[[int, Rng], Attack], ...] = (
    endless_headers,
    large_headers,
    sparse_files,
    lying_headers,
    pax_names,
    pax_links,
    after_the_end,
)
