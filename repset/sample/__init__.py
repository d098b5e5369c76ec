"""The rendered sample: a drawn athlete with exact truth, in the on-disk formats of the real sets.

numpy and OpenCV only (scipy writes the .mat files). Same seed, same bytes, whatever the number of processes.
"""

from pathlib import Path

from repset.errors import ConfigError
from repset.params import SampleParams
from repset.sample.packing import Progress

FAMILIES = ("roboflow", "penn_action", "mmfit")


def render_archive(
    family: str, out: Path, params: SampleParams, jobs: int = 2, progress: Progress | None = None
) -> Path:
    """Write one archive of the sample and `truth.json` (see repset.sample.truth) into the folder `out`.

    Args:
        family: roboflow (sample_roboflow.zip) | penn_action (Penn_Action.tar.gz) | mmfit (mm-fit.zip).
        jobs: processes. progress: wraps an iterable of results, as repset.cli.progress.track does.
    Returns: the archive's path.
    Raises: ConfigError for another family.
    """
    from repset.sample import archives_mmfit, archives_penn, archives_roboflow

    writers = {
        "roboflow": archives_roboflow.write_roboflow,
        "penn_action": archives_penn.write_penn,
        "mmfit": archives_mmfit.write_mmfit,
    }
    if family not in writers:
        raise ConfigError(f"{family}: no such family of the rendered sample. Families: {', '.join(FAMILIES)}.")
    out.mkdir(parents=True, exist_ok=True)
    return writers[family](out, params, jobs, progress)
