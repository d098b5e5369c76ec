"""`repset add-source`."""

import click

from repset.project import find_project


@click.command("add-source")
@click.argument("name")
@click.option("--family", default="folder", show_default=True, help="Reader to use: roboflow, penn_action, folder …")
@click.option("--origin", default="", help="Where it comes from: a folder, a file, an https address, roboflow:W/P/V.")
@click.option("--format", "label_format", help="Format of its labels: coco, coco-keypoints, yolo-seg …")
@click.option("--reader", is_flag=True, help="Also begin a reader of its own, called NAME, and register it.")
def command(name: str, family: str, origin: str, label_format: str | None, reader: bool) -> None:
    """Begin a new source: pipeline file, card, test and, where wanted, a reader.

    Nothing that is there is written over. What is written passes its tests, and the lines to fill in say so.

    \b
    Example:
        repset add-source my_gym --origin ../photos --format coco
    """
    from repset.sources import SOURCES
    from repset.sources.scaffold import plan_source, write_plan

    if family not in SOURCES:
        raise click.BadParameter(f"{family!r} is none of {', '.join(SOURCES)}", param_hint="--family")
    project = find_project()
    plan = plan_source(project, name, family, origin or f"{name}.zip", label_format, reader)
    write_plan(plan)
    for path in plan.files:
        click.echo(f"written: {path.relative_to(project.root)}")
    for path in plan.changes:
        click.echo(f"changed: {path.relative_to(project.root)}")
    steps = [
        *([f"Change repset/sources/{name}.py into what the format needs."] if reader else []),
        *(["Run: python tools/stage_deps.py --write"] if reader else []),
        *([] if origin else [f"Set origin in pipelines/{name}.yaml."]),
        f"Fill in datasets/{name}/README.md: origin, licence, consent, flaws.",
        f"Run: repset pull {name}, repset index {name}, repset cards --write",
        f"Run: pytest tests/test_source_{name}.py",
        f"Switch it on: repset profile real --sources {name}",
    ]
    click.echo("Next:")
    for number, step in enumerate(steps, 1):
        click.echo(f"  {number}. {step}")
