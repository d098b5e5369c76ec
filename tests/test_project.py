"""What rots otherwise: README, command table, graph, layout and conventions say the same thing."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest
import yaml

from repset.cli import COMMANDS, cli

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
HEAVY = {"torch", "mediapipe", "fiftyone", "cv2", "numpy", "pyarrow", "pydantic", "rich", "av", "dvc"}


def tracked(*suffixes: str) -> list[Path]:
    listing = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [ROOT / name for name in listing.splitlines() if name.endswith(suffixes) and (ROOT / name).is_file()]


def commands_in(text: str) -> list[list[str]]:
    """Words of each `repset ...` line in fenced blocks, without comments and prompts."""
    lines = []
    for block in re.findall(r"```(?:console|bash|sh)?\n(.*?)```", text, re.S):
        for line in block.splitlines():
            words = line.removeprefix("$ ").split("#")[0].split()
            if words[:1] == ["repset"]:
                lines.append(words[1:])
    return lines


def test_help_is_light() -> None:
    code = (
        "import sys; sys.argv = ['repset', '--help']\n"
        "from repset.cli import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        f"print('HEAVY', sorted({HEAVY!r} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "HEAVY []" in done.stdout


@pytest.mark.parametrize("name", list(COMMANDS))
def test_every_command_has_help_with_an_example(name: str) -> None:
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    assert command.help
    assert "Example:" in command.help, name
    assert f"repset {name}" in command.help, f"the example of {name} does not run it"


@pytest.mark.parametrize("name", list(COMMANDS))
def test_the_readme_names_every_command(name: str) -> None:
    assert f"repset {name}" in README


def test_readme_commands_parse() -> None:
    lines = commands_in(README)
    assert len(lines) >= 10
    for words in lines:
        if words[0].startswith("-"):
            continue
        command = cli.get_command(click.Context(cli), words[0])
        assert command is not None, f"README: no such command: repset {' '.join(words)}"
        options = {flag for parameter in command.params for flag in parameter.opts + parameter.secondary_opts}
        if isinstance(command, click.Group):
            continue
        for word in words[1:]:
            if word.startswith("--"):
                assert word.split("=")[0] in options | {"--help"}, f"README: repset {' '.join(words)}: no option {word}"


def test_the_readme_tree_exists() -> None:
    tree = re.search(r"```text\n(.*?)```", README, re.S)
    assert tree, "README has no ```text block with the tree"
    names = [line.split()[0] for line in tree[1].splitlines() if line and not line.startswith(" ")]
    inner = [f"repset/{line.split()[0]}" for line in tree[1].splitlines() if line.startswith("  ")]
    assert len(names) >= 10
    for name in names + inner:
        assert (ROOT / name).exists(), f"README's tree: {name} does not exist"


def test_folders_without_code_hold_no_python() -> None:
    assert [p for p in tracked(".py") if p.relative_to(ROOT).parts[0] in ("datasets", "models", "pipelines")] == []


def test_files_and_functions_keep_their_size() -> None:
    found = []
    for path in tracked(".py"):
        text = path.read_text(encoding="utf-8")
        if len(text.splitlines()) > 400:
            found.append(f"{path.relative_to(ROOT)}: {len(text.splitlines())} lines")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                size = (node.end_lineno or 0) - node.lineno + 1
                if size > 70:
                    found.append(f"{path.relative_to(ROOT)}:{node.lineno} {node.name}: {size} lines")
    assert found == []


def test_public_code_has_docstrings() -> None:
    found = []
    for path in (ROOT / "repset").rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        if not ast.get_docstring(tree):
            found.append(str(path.relative_to(ROOT)))
        for node in tree.body:
            public = isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_")
            if public and not ast.get_docstring(node):
                found.append(f"{path.relative_to(ROOT)}:{node.name}")
    assert found == []


def test_stage_command_and_parameters_bear_one_name() -> None:
    groups = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    for stage, block in STAGES.items():
        body = block.get("do", block)
        command, what = body["cmd"].split()[1:3] if body["cmd"].count(" ") > 1 else (body["cmd"].split()[1], "")
        assert stage in (command.replace("-", "_"), f"{command}_{what}")  # curate_form, accept_count: of one task
        assert command in COMMANDS
        for entry in body.get("params", []):
            for keys in entry.values() if isinstance(entry, dict) else ():
                for key in keys or ():
                    assert key.split(".")[0] in groups, f"{stage}: params.yaml has no group {key}"


def test_recipes_have_the_same_keys() -> None:
    def keys(node: object, at: str = "") -> set[str]:
        if not isinstance(node, dict):
            return {at}
        return {key for name, child in node.items() for key in keys(child, f"{at}.{name}")}

    sample = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    real = yaml.safe_load((ROOT / "pipelines" / "real.yaml").read_text(encoding="utf-8"))
    assert keys(sample) == keys(real)


def test_stages_list_the_modules_they_import() -> None:
    done = subprocess.run([sys.executable, "tools/stage_deps.py"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_every_source_has_a_card() -> None:
    for path in (ROOT / "pipelines").glob("*.yaml"):
        if path.stem not in ("profile", "real"):
            card = ROOT / "datasets" / path.stem / "README.md"
            assert card.is_file(), f"{path.name} has no card {card.relative_to(ROOT)}"


def test_nothing_names_a_registry_or_a_machine_path() -> None:
    hosts = ["py" + "pi.org", "python" + "hosted.org", "npm" + "js.org"]
    roots = ["/" + "work/", "/" + "root/", "/" + "home/"]
    found = []
    for path in tracked(".py", ".md", ".yaml", ".toml", ".lock", ".json", "Makefile", "run", ".html", ".css"):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if any(word in line for word in hosts + roots):
                found.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()[:80]}")
    assert found == []


def test_the_graph_knows_every_model() -> None:
    from repset.learn import MODELS

    listed = {dep for dep in STAGES["train"]["do"]["deps"] if dep.startswith("repset/")}
    assert {module.replace(".", "/") + ".py" for module in MODELS.values()} <= listed
