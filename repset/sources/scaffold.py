"""`repset add-source`: the files of a new source, none of them written over another.

What is written works at once: the pipeline file names a reader that exists, the card says what is known and what is
not, and the test passes. With a reader of its own the source gets a module that reads images in folders, to be changed
into what the set's format needs, and its line in the two tables that list readers.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from repset.errors import RepsetError
from repset.project import RESERVED, Project
from repset.records import write_text
from repset.sources import SOURCES
from repset.sources.cards import BEGIN, END, NOT_COUNTED

_NAME = re.compile(r"^[a-z][a-z0-9_]{1,40}$")
_TABLE = "SOURCES: dict[str, Family] = {\n"
_FAMILIES = re.compile(r"(    family: Literal\[)([^\]]*)(\])")


@dataclass(frozen=True)
class Plan:
    """What a new source writes: path → text, and the files of the program it changes: path → new text."""

    files: dict[Path, str]
    changes: dict[Path, str]


def plan_source(project: Project, name: str, family: str, origin: str, label_format: str | None, reader: bool) -> Plan:
    """The files of the source `name`.

    Args:
        family: reader to use; ignored with `reader`, which makes one of its own, called as the source.
        origin: as in pipelines/<source>.yaml; label_format: `format` there, None where there is none.
    Raises: RepsetError for a name that cannot be one, or a file that is there already; nothing is written here.
    """
    if not _NAME.match(name) or name in (*RESERVED, "profile", "real"):
        expected = "lower-case letters, digits and underscores, beginning with a letter"
        raise RepsetError(f"{name}: expected a name of {expected}, and none that has another use. Choose another.")
    if reader and name in SOURCES:
        raise RepsetError(f"{name}: expected a new reader, found one of that name. Choose another name.")
    root = project.root
    family = name if reader else family
    files = {
        project.pipelines / f"{name}.yaml": _pipeline(name, family, origin, label_format),
        project.source(name) / "README.md": _card(name, origin),
        project.source(name) / ".gitignore": "/raw\n/index\n/split\n/labels\n",
        root / "tests" / f"test_source_{name}.py": _test(name, reader or (family, label_format) == ("folder", None)),
    }
    changes: dict[Path, str] = {}
    if reader:
        files[root / "repset" / "sources" / f"{name}.py"] = _reader(name)
        changes = _registered(root, name)
    there = [path.relative_to(root).as_posix() for path in files if path.exists()]
    if there:
        raise RepsetError(f"{there[0]}: expected no such file, found one. Choose another name, or remove it.")
    return Plan(files, changes)


def write_plan(plan: Plan) -> None:
    """Write every file; the tables that list readers last."""
    for path, text in (plan.files | plan.changes).items():
        write_text(path, text)


def _registered(root: Path, name: str) -> dict[Path, str]:
    table, params = root / "repset" / "sources" / "__init__.py", root / "repset" / "params.py"
    texts = {path: path.read_text(encoding="utf-8") if path.is_file() else "" for path in (table, params)}
    start = texts[table].find(_TABLE)
    end = texts[table].find("\n}\n", start)
    imported = re.search(r"^from repset\.sources import ([^\n(]+)$", texts[table], re.M)
    families = _FAMILIES.search(texts[params])
    if start < 0 or end < 0 or imported is None or families is None:
        where = "repset/sources/__init__.py and repset/params.py"
        raise RepsetError(
            f"{where}: expected the table SOURCES and the list of families, found others. Run this in a clone."
        )
    line = f'    "{name}": Family({name}.EXPECTED, {name}.wanted, {name}.essential, {name}.read),'
    sources = texts[table][:end] + f"\n{line}" + texts[table][end:]
    modules = ", ".join(sorted([*imported[1].split(", "), name]))
    sources = sources.replace(imported[0], f"from repset.sources import {modules}", 1)
    listed = f'{families[1]}{families[2]}, "{name}"{families[3]}'
    return {table: sources, params: texts[params].replace(families[0], listed, 1)}


def _pipeline(name: str, family: str, origin: str, label_format: str | None) -> str:
    lines = [
        f"# {name} (card: datasets/{name}/README.md).",
        f"family: {family}",
        "rendered: false",
        f"origin: {_quoted(origin)}",
    ]
    if label_format is not None:
        lines.append(f"format: {label_format}")
    if family == "folder":
        lines += [
            "# labels: labels.csv  # the label file, where it has another name; columns: repset/sources/imports_csv.py",
            "# sequences: true     # the images of each folder are the frames of one clip; needs fps",
            "# fps: 30",
        ]
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    import json

    return json.dumps(text, ensure_ascii=False)  # a JSON string is a YAML string


def _card(name: str, origin: str) -> str:
    return f"""# {name}

Say in two sentences what is seen here and what it is used for in this project.

| | |
|---|---|
| Origin | Not stated yet: who made it, where it was published, which version |
| Address | {origin if "://" in origin or ":" in origin else "none: it lies on the machine of who added it"} |
| Pull | `repset pull {name}`, or `repset pull {name} --from COPY` |
| Licence | Not stated yet. Until it is, do not pass on the media or what was trained on them |
| Subjects | Not stated yet: how many people, and what the group of a sample is |
| Consent | Not known. Until it is, treat the media as personal data: no redistribution, no faces in reports |

{BEGIN}
{NOT_COUNTED}
{END}

## Known flaws
- Nobody has looked for flaws yet.

## What is not verified here
Everything above.
"""


def _test(name: str, reads_images: bool) -> str:
    more = ", and its reader reads images" if reads_images else ""
    head = f'''"""Source {name}: its pipeline file and its card are whole{more}."""

from pathlib import Path
'''
    imports = ["from repset.params import load_source", "from repset.project import Project",
               "from repset.sources import SOURCES", "from repset.sources.cards import check_card"]  # fmt: skip
    if reads_images:
        imports += ["from repset.sources.index import index_source", "from repset.video import encode_png"]
    numpy = "\nimport numpy as np\n" if reads_images else ""
    body = f'''
ROOT = Project(Path(__file__).resolve().parent.parent)
SOURCE = "{name}"


def test_the_pipeline_file_names_a_reader() -> None:
    assert load_source(ROOT, SOURCE).family in SOURCES


def test_the_card_says_what_a_card_must_say() -> None:
    state = check_card(ROOT, SOURCE)
    assert state.gaps == ()
    assert not state.stale
'''
    if reads_images:
        body += """

def test_the_reader_reads_an_image(project: Project) -> None:
    raw = project.raw(SOURCE) / "somewhere"
    raw.mkdir(parents=True)
    (raw / "one.png").write_bytes(encode_png(np.zeros((6, 8, 3), np.uint8)))
    report = index_source(project, SOURCE, load_source(ROOT, SOURCE), shard_mb=1)
    assert report["counts"]["samples"] == 1
    assert report["counts"]["frames"] == 1
"""
    return head + numpy + "\n" + "\n".join(imports) + "\n" + body


def _reader(name: str) -> str:
    return f'''"""Reads {name}: every image is a sample, the folder it lies in is its group.

Change `wanted`, `essential` and `read` into what the set's own format needs; say here how it lies on disk.
"""

from collections.abc import Callable, Iterable, Iterator
from pathlib import PurePosixPath

from repset.params import SourceSpec
from repset.records import sha256_bytes
from repset.sources.tree import Tree
from repset.sources.writer import IndexWriter, check_image

EXPECTED = "a folder with images"


def wanted(name: str) -> bool:
    """Files the reader uses."""
    return essential(name)


def essential(name: str) -> bool:
    """A file without which there is nothing to read."""
    return PurePosixPath(name).suffix.lower() in (".jpg", ".jpeg", ".png")


def read(tree: Tree, spec: SourceSpec, out: IndexWriter, progress: Callable[[Iterable[str]], Iterator[str]]) -> None:
    """Put every image into `out`. Raises: DataError naming an image that does not decode."""
    for name in progress([name for name in tree.names() if essential(name)]):
        with out.item(name):
            data = tree.read(name)
            width, height = check_image(data, tree.at(name))
            path = PurePosixPath(name)
            sample_id = out.add_sample(
                str(path.with_suffix("")),
                kind="image",
                width=width,
                height=height,
                frames=1,
                group=str(path.parent),
                media_sha256=sha256_bytes(data),
            )
            out.shards.add(sample_id, 0, "", path.name, data)
'''
