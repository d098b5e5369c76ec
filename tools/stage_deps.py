"""The modules each DVC stage runs on: print them, or write them into dvc.yaml.

    python tools/stage_deps.py           # what is missing or too much, exit code 1 if anything is
    python tools/stage_deps.py --write   # renew the lists in dvc.yaml

A stage depends on its own command and on everything that command imports inside repset, also from within functions.
What is loaded by name or read as data stands in `LOADED` and `FILES`.
"""

import ast
import re
import sys
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

FILES: dict[str, tuple[str, ...]] = {
    "autolabel": ("repset/autolabel/exercise.json", "repset/autolabel/exercise.onnx", "repset/autolabel/rules"),
    "evaluate_labels": ("repset/autolabel/rules",),
    "report": ("repset/report/page.css", "repset/report/page.html"),
}
"""stage → data files inside the package that it reads, as dvc.yaml writes them."""

MODELS = ("repset.learn.exercise", "repset.learn.segmentation")
LOADED: dict[str, tuple[str, ...]] = dict.fromkeys(("bootstrap", "preannotate", "train", "evaluate"), MODELS)
"""stage → modules it loads by name (`repset.learn.MODELS`), all of them: a stage block serves every model."""

SKIP = ("repset", "repset.cli", "repset.cli.progress")
"""Package markers and the command table: no result depends on them."""


def path_of(module: str) -> Path | None:
    """File of a dotted module inside the repository, or None."""
    base = ROOT.joinpath(*module.split("."))
    for path in (base.with_suffix(".py"), base / "__init__.py"):
        if path.is_file():
            return path
    return None


@cache
def imports(module: str) -> frozenset[str]:
    """repset modules that one module names in its import statements, at any depth of its code."""
    path = path_of(module)
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if path else ():
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        found.update(name for name in names if name.split(".")[0] == "repset" and path_of(name))
    return frozenset(found)


def closure(*roots: str) -> set[str]:
    """Modules reached from the roots, packages' own __init__ included."""
    seen: set[str] = set()
    todo = list(roots)
    while todo:
        module = todo.pop()
        if module in seen:
            continue
        seen.add(module)
        todo += imports(module)
        if "." in module:
            todo.append(module.rsplit(".", 1)[0])
    return {module for module in seen if module not in SKIP}


def command_of(stage: str) -> str:
    """The command module a stage runs; `curate_form` runs `curate`."""
    return stage if path_of(f"repset.cli.{stage}") else stage.rsplit("_", 1)[0]


def wanted(stage: str) -> list[str]:
    """Sorted paths of the modules a stage depends on."""
    paths = [path_of(module) for module in closure(f"repset.cli.{command_of(stage)}", *LOADED.get(stage, ()))]
    return sorted(path.relative_to(ROOT).as_posix() for path in paths if path) + list(FILES.get(stage, ()))


def renewed(text: str) -> str:
    """dvc.yaml with every stage's module list replaced by what it should be."""
    stages = re.split(r"(?m)^(?=  \w+:$)", text)
    return "".join(_renew(part) for part in stages)


def _renew(part: str) -> str:
    name = re.match(r"  (\w+):$", part, re.M)
    if not name or path_of(f"repset.cli.{command_of(name[1])}") is None:
        return part
    kept = re.sub(r"(?m)^ +- repset/\S+\n", "", part)
    head = re.search(r"(?m)^( +)deps:\n", kept)
    indent = head[1] if head else (re.search(r"(?m)^( +)cmd:", kept) or [None, "    "])[1]
    lines = "".join(f"{indent}  - {path}\n" for path in wanted(name[1]))
    if head:
        return kept[: head.end()] + lines + kept[head.end() :]
    cmd = re.search(r"(?m)^ +cmd:.*\n", kept)
    assert cmd
    return kept[: cmd.end()] + f"{indent}deps:\n{lines}" + kept[cmd.end() :]


def main() -> int:
    """Compare or write; 1 when dvc.yaml is stale."""
    path = ROOT / "dvc.yaml"
    old = path.read_text(encoding="utf-8")
    new = renewed(old)
    if "--write" in sys.argv[1:]:
        path.write_text(new, encoding="utf-8")
        return 0
    if old != new:
        missing = sorted(set(new.splitlines()) - set(old.splitlines()))
        print("dvc.yaml's module lists are stale: python tools/stage_deps.py --write", *missing, sep="\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
