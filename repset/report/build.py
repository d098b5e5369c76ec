"""Puts the page together: sections → page.html and page.css → one file."""

from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

import jinja2

from repset.params import load_profile, load_source
from repset.project import Project
from repset.records import write_text
from repset.report import acceptance, findings, repetitions, scores, sections
from repset.report.blocks import Section
from repset.report.facts import Source

Progress = Callable[[int, int, str], None]
"""Called as progress(done, total, label)."""


def silent(done: int, total: int, label: str) -> None:
    """A `Progress` that shows nothing."""


def build_report(project: Project, progress: Progress = silent) -> str:
    """The page as HTML with every picture inside; a stage that has not run is named with its command.

    Raises: DataError or ConfigError if what is there cannot be read.
    """
    profile = load_profile(project)
    sources = [Source(project, name, load_source(project, name)) for name in profile.sources]
    parts: list[Callable[[], Section]] = [
        lambda: sections.came_in(sources),
        lambda: sections.seen(sources, project, profile),
        lambda: repetitions.curves(sources),
        lambda: sections.provenance(project, profile, sources),
        lambda: scores.labeller(project, sources),
        lambda: acceptance.acceptance(project, profile, sources),
        lambda: findings.findings(project, sources),
        lambda: sections.splits(project, sources),
        lambda: sections.left_out(project, profile, sources),
        lambda: scores.models(project, profile, sources),
        lambda: scores.reproduce(project, profile, sources),
    ]
    made: list[Section] = []
    for part in parts:
        progress(len(made), len(parts), made[-1].title if made else "report")
        made.append(part())
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(lambda name: files("repset.report").joinpath(name).read_text(encoding="utf-8")),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    return environment.get_template("page.html").render(
        profile=profile,
        rendered=bool(sources) and all(source.spec.rendered for source in sources),
        overview=sections.overview(sources, scores.headlines(project, profile)),
        sections=made,
        css=files("repset.report").joinpath("page.css").read_text(encoding="utf-8"),
    )


def write_report(project: Project, out: Path, progress: Progress = silent) -> Path:
    """Write the page to `out` in one step."""
    return write_text(out, build_report(project, progress))
