"""Label files, media and folders made to harm whoever reads them, each beside a harmless one; seeded."""

import contextlib
import json
import os
import socket
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from hostile_archives import Attack, Rng, word, zipped
from hostile_values import write_clip

from repset.video import encode_png

PNG = encode_png(np.zeros((8, 10, 3), np.uint8))
BOX = [2, 1, 6, 1, 6, 4, 2, 4]


# --- text ---------------------------------------------------------------------------------------------------------


def _folder(says: str, form: str | None, hostile: dict[str, Any], benign: dict[str, Any]) -> Attack:
    return Attack(says, {"a.png": PNG, **hostile}, {"a.png": PNG, **benign}, "folder", form, archive=False)


def _coco(**changes: Any) -> dict[str, Any]:
    return {
        "images": [{"id": 7, "file_name": "a.png", "width": 10, "height": 8}],
        "categories": [{"id": 3, "name": "biceps"}],
        "annotations": [{"id": 1, "image_id": 7, "category_id": 3, "segmentation": [BOX]}],
    } | changes


def _coco_attack(says: str, content: Any) -> Attack:
    text = content if isinstance(content, bytes) else json.dumps(content).encode()
    return _folder(says, "coco", {"a.json": text}, {"a.json": json.dumps(_coco()).encode()})


def json_texts(n: int, rng: Rng) -> Attack:
    depth, plain = int(rng.integers(20_000, 90_000)), json.dumps(_coco())
    return _coco_attack(
        *[
            ("found nesting too deep to read", b"[" * depth),
            ("found nesting too deep to read", b'{"a":' * depth),
            ("JSON, found", plain.encode()[:-9]),
            ("JSON, found", b"\xff\xfe" + plain.encode()),
            ("JSON, found", b"\0" * 50),
            ("one that does not fit", plain.replace('"id": 7', '"id": 1e999').encode()),
            ("JSON, found Exceeds the limit", plain.replace('"id": 7', '"id": ' + "9" * 5000).encode()),
            ("one that does not fit", _coco(images=3)),
            ("one that does not fit", _coco(annotations=[[]])),
            ("the file lists, found the category 9", _coco(annotations=[{"image_id": 7, "category_id": 9}])),
        ][n]
    )


def coco_paths(n: int, rng: Rng) -> Attack:
    """An image is one of this folder, whatever a label file calls it."""
    a = word(rng)
    name = [
        "../../a.png",
        "/etc/passwd",
        "../a.png",
        f"/{a}/a.png",
        "..\\a.png",
        "C:/a.png",
        f"{a}.png",
        "",
        "/",
        "a.png\0.jpg",
    ][n]
    image = {"id": 7, "file_name": name, "width": 10, "height": 8}
    return _coco_attack(f"expected one image {name!r}, found none", _coco(images=[image]))


def coco_masks(n: int, rng: Rng) -> Attack:
    """Run lengths that write past the image, outlines that take all memory, corners that are no number."""
    far = 10.0 ** int(rng.integers(3, 300))
    shape = [
        {"size": [8, 10], "counts": [5, -2]},
        {"size": [8, 10], "counts": [1 << 62, 1]},
        {"size": [1 << 20, 1 << 20], "counts": [80]},
        {"size": [8, 10], "counts": "o" * 4000},
        {"size": [8, 10], "counts": [True] * 81},
        [[far, 0, 0, far, 1, 1]],
        [[float("nan")] * 6],
        [[1, 2, 3]],
        [[-far, -far, far, far, 0, 0]],
        [["1e400", 0, 0, 1, 1, 1]],
    ][n]
    row = {"id": 1, "image_id": 7, "category_id": 3, "segmentation": shape}
    return _coco_attack("annotation 1: expected ", _coco(annotations=[row]))


def yaml_texts(n: int, rng: Rng) -> Attack:
    """A page that stands for terabytes, a call, nesting without end, keys that are no numbers."""
    laugh = "a: &a [x, x]\n" + "".join(
        f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
    )
    merge = "a: &a {x: 1}\n" + "".join(
        f"{b}: &{b} {{<<: [{', '.join([f'*{a}'] * 9)}]}}\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
    )
    alias, names = "an alias, which can stand for any amount of text", "(and kpt_shape for poses), found no names"
    text, says = [
        (laugh + "names: [*i]\n", alias),
        (merge + "names: [x]\n", alias),
        ("names: &n [*n]\n", alias),
        ("names: !!python/object/apply:os.system [exit]\n", "could not determine a constructor"),
        ("names: " + "[" * int(rng.integers(2000, 9000)), "nested too deeply"),
        ("names: [x]\n#" + "x" * (1 << 20), " bytes. "),
        ("names: {²: x}\n", names),
        ("names: {" + "9" * 5000 + ": x}\n", "found "),
        ("names: [x\0]\n", "special characters"),
        ("names: 2026-99-99\n", "found "),
    ][n]
    good = {"data.yaml": b"names: [x]\n", "a.txt": b"0 .1 .1 .5 .1 .5 .5\n"}
    return _folder(says, "yolo-seg", good | {"data.yaml": text.encode()}, good)


def yolo_rows(n: int, rng: Rng) -> Attack:
    row = [
        b"0 nan .1 .5 .1 .5 .5",
        b"0 inf 0 1 0 1 1",
        b"9 .1 .1 .5 .1 .5 .5",
        b"0 1e300 .1 .5 .1 .5 .5",
        b"0 .1 .1 .5",
        b"0 x y z",
        b"-1 .1 .1 .5 .1 .5 .5",
        b"\xff\xfe\xfa",
        b"0 .1 .1 .5 .1 .5 .5 .6",
        b"0 -1e9 0 1e9 0 1 1",
    ][n]
    says = "a.txt: expected lines of numbers" if n == 7 else "a.txt, line 1: expected a"
    good = {"data.yaml": b"names: [x]\n", "a.txt": b"0 .1 .1 .5 .1 .5 .5\n"}
    return _folder(says, "yolo-seg", good | {"a.txt": row}, good)


_CVAT = (
    '<annotations><image id="0" name="a.png" width="10" height="8">'
    '<polygon label="b" points="2,1;6,1;6,4"/></image></annotations>'
)


def xml_texts(n: int, rng: Rng) -> Attack:
    """Entities that multiply or read files, document types from elsewhere, elements in each other without end."""
    laugh = "".join(f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in zip("abcdefgh", "bcdefghi", strict=True))
    types = [
        f'<!DOCTYPE x [<!ENTITY a "ha">{laugh}]>',
        '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>',
        '<!DOCTYPE x SYSTEM "http://127.0.0.1:9/x.dtd">',
        '<!DOCTYPE x [<!ENTITY % p SYSTEM "file:///etc/passwd"> %p;]>',
        "<!DOCTYPE annotations>",
        f'<!DOCTYPE x [<!ENTITY a "{"x" * 60000}">]>',
    ]
    safe = "expected XML that is safe to read, found a document type or an entity"
    text, says = [
        *[(kind + _CVAT.replace('"b"', '"&a;"'), safe) for kind in types],
        (_CVAT.replace("<image", "<a>" * int(rng.integers(17, 9000)) + "<image", 1), "nested deeper than 16"),
        (_CVAT.replace('"b"', '"&a;"'), "one that does not parse"),
        ('<?xml version="1.0" encoding="utf-7"?>' + _CVAT, "expected CVAT"),
        (_CVAT[:-30], "one that does not parse"),
    ][n]
    return _folder(says, "cvat", {"a.xml": text.encode()}, {"a.xml": _CVAT.encode()})


def csv_texts(n: int, rng: Rng) -> Attack:
    """Cells without end, numbers that are none, rows for media elsewhere."""
    good = "media,exercise,fps\na.png,,\n"
    text, says = [
        (good + '"' + "x" * 200_000, "field larger than field limit"),
        (good + '"a', "unexpected end of data"),
        (good + "../../a.png,,\n", "media of this folder"),
        (good + "/etc/passwd,,\n", "media of this folder, found '/etc/passwd'"),
        (good + "a.png,,1e999\n", "fps above 0"),
        (good + "a.png,,nan\n", "a number in fps"),
        ("media,media\n", "a column twice"),
        ("media,__class__\n", "found '__class__'"),
        (good + "a.png\n", "expected 3 cells"),
        (good + "a\x1b[2J.png,,\n", "media of this folder"),
    ][n]
    return _folder(says, None, {"labels.csv": text.encode()}, {"labels.csv": good.encode()})


def set_rows(n: int, rng: Rng) -> Attack:
    row = [
        "1,2,3",
        "-1,20,3,squats",
        "١,20,3,squats",
        "9" * 400 + ",1,1,squats",
        "20,10,3,squats",
        "1,2,3,=cmd|x",
        "1,2,1e3,squats",
        '"1,20,3,squats',
        "1,20,3,squ\x1b[2Jats",
        "10,30,3,squats",
    ][n]
    says = "sets that do not overlap" if n == 9 else ", line 2: expected "
    good = b"5,15,3,squats\n"
    hostile = {"w00/w00_labels.csv": good + row.encode() + b"\n"}
    return Attack(says, {**hostile}, {"w00/w00_labels.csv": good}, archive=False)


def class_lists(n: int, rng: Rng) -> Attack:
    head, photo = (
        "Pixel Value, Class\n0, background\n",
        {"train/a.jpg": bytes(cv2.imencode(".jpg", np.zeros((8, 10, 3), np.uint8))[1])},
    )
    mask = {"train/a_mask.png": encode_png(np.zeros((8, 10), np.uint8))}
    row = ["256, x", "-1, x", "²,x", "1e0, x", "0, again", "1,x\n2, X", "1", "1,x,y", "9" * 300 + ", x", "1\x1b[2J, x"][
        n
    ]
    says = "each class once, found 'X' again" if n == 5 else "expected a new pixel value 0–255 and a class"
    hostile, benign = (photo | mask | {"train/_classes.csv": (head + text).encode()} for text in (row, "1, x"))
    return Attack(says, {**hostile}, {**benign}, "roboflow", archive=False)


# --- media and folders --------------------------------------------------------------------------------------------


def pictures(n: int, rng: Rng) -> Attack:
    """Headers of a few bytes that state gigapixels, scripts and pages called .jpg, pictures cut in half."""
    side = int(rng.integers(20_000, 60_000))
    size = struct.pack(">II", side, side)
    bomb = PNG[:16] + size + PNG[24:29] + struct.pack(">I", zlib.crc32(PNG[12:16] + size + PNG[24:29])) + PNG[33:]
    jpeg = bytes(cv2.imencode(".jpg", np.zeros((8, 10, 3), np.uint8))[1])
    at = jpeg.index(b"\xff\xc0")
    large = jpeg[: at + 5] + struct.pack(">HH", side, side) + jpeg[at + 9 :]
    data = [
        bomb,
        large,
        b"<svg onload='x'/>" * 9,
        b"#!/bin/sh\nexit\n",
        PNG[:-9],
        jpeg[:-2],
        zipped({"x": b"y"}),
        b"",
        PNG[:12] + rng.bytes(40),
        b"GIF89a" + rng.bytes(30),
    ][n]
    says = "expected an image of at most 200,000,000 pixels" if n < 2 else "expected a whole JPEG or PNG image"
    name = "b.jpg" if n % 2 else "b.png"
    return _folder(says, None, {name: data}, {name: jpeg if n % 2 else PNG})


def videos(n: int, rng: Rng) -> Attack:
    """Playlists called .mp4, which name files and addresses elsewhere, and what is no video."""
    data = [
        b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n",
        b"ffconcat version 1.0\nfile /etc/passwd\n",
        b"#EXTM3U\n#EXTINF:9,\nhttp://127.0.0.1:9/x.mp4\n#EXT-X-ENDLIST\n",
        b"ffconcat version 1.0\nfile 'a.mp4'\n",
        b"<MPD/>",
        b"",
        b"#EXTM3U\n#EXTINF:9,\nconcat:/etc/passwd|/etc/hosts\n#EXT-X-ENDLIST\n",
        rng.bytes(4000),
        b"\0\0\0\x18ftypmp42" + rng.bytes(60),
        b"RIFF\xff\xff\xff\x7fAVI LIST" + rng.bytes(60),
    ][n]
    return _folder("b.mp4: expected a video", None, {"b.mp4": data}, {"b.mp4": write_clip})


def folders(n: int, rng: Rng) -> Attack:
    """Links out of the folder, in a circle or to nothing; pipes and sockets, which never end."""
    target = ["/etc/passwd", "/etc", "..", ".", "nowhere", "../../../../index", "a.png"][n % 7]

    def make(path: Path) -> None:
        if n < 7:
            path.symlink_to(target)
        elif n < 9:
            os.mkfifo(path)
        else:
            with contextlib.chdir(path.parent), socket.socket(socket.AF_UNIX) as one:
                one.bind(path.name)  # a socket's name may have 108 characters

    name = f"{word(rng)}.png"
    found = "a link" if n < 7 else "a pipe, socket or device"
    return _folder(f"{name}: expected a file or folder, found {found}", None, {name: make}, {name: PNG})


TEXTS: tuple[Callable[[int, Rng], Attack], ...] = (
    json_texts,
    coco_paths,
    coco_masks,
    yaml_texts,
    yolo_rows,
    xml_texts,
    csv_texts,
    set_rows,
    class_lists,
    pictures,
    videos,
    folders,
)
