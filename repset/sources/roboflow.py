"""A version of a Roboflow project through Roboflow's own package, run apart with a time limit.

The package has no time-outs and waits for exports without end, puts the key into addresses (and so into the text of
errors), and takes a folder that exists for a finished download. So: a process of its own, a fresh folder, a limit,
and every message scrubbed. The key comes from ROBOFLOW_API_KEY alone and is written nowhere.
"""

import importlib.util
import os
import re
import signal
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from urllib.parse import quote, quote_plus

from repset.errors import ConfigError, MissingExtraError, RepsetError
from repset.sources.roboflow_readme import READMES, parse_provenance
from repset.sources.tree import ZipTree

PREFIX = "roboflow:"
KEY = "ROBOFLOW_API_KEY"
TIMEOUT_S = 1800.0
_ORIGIN = re.compile(r"^roboflow:([\w.-]+)/([\w.-]+)/(\d+)$")


def fetch_version(origin: str, export: str, folder: Path, way_out: str, timeout_s: float = TIMEOUT_S) -> None:
    """Download `roboflow:workspace/project/version` in the format `export` into `folder`, which must not exist.

    Raises: ConfigError for another spelling; MissingExtraError without the package; RepsetError without a key or a
        network, for fewer images than the export itself states, or for whatever Roboflow answers, in one sentence
        without the key.
    """
    match = _ORIGIN.match(origin)
    if match is None:
        raise ConfigError(f"{origin}: expected roboflow:workspace/project/version. Mend the origin.")
    key = read_key(origin, way_out)
    with tempfile.TemporaryDirectory(prefix="repset.") as scratch:
        status, said = _run([*match.groups(), export, str(folder.resolve())], Path(scratch), timeout_s)
    if status is None:
        reason = f"no answer within {timeout_s:.0f} s"
    elif status:
        reason = explain(scrub(said, key))
    elif not any(folder.rglob("*.*")):
        reason = "an empty download"
    elif missing := _missing(folder):
        reason = missing
    else:
        return
    raise RepsetError(f"{origin}: expected an export as {export}, found {reason}. {way_out}.")


def read_key(where: str, way_out: str) -> str:
    """The key of the user's account. Raises: RepsetError without one, MissingExtraError without the package."""
    key = os.environ.get(KEY, "").strip()
    if not key:
        todo = "Set it to the private API key of your Roboflow account"
        raise RepsetError(f"{where}: expected a key in {KEY}, found none. {todo}. {way_out}.")
    if key.upper() == key:  # the package takes such a key for a placeholder and asks nobody
        raise RepsetError(f"{where}: expected a private API key in {KEY}, found a placeholder. Copy it again.")
    if importlib.util.find_spec("roboflow") is None:
        raise MissingExtraError("Roboflow's package", "roboflow")
    return key


def _missing(folder: Path) -> str | None:
    """Whether the export has fewer images than it states itself."""
    text = "\n".join(path.read_text("utf-8", "replace") for path in sorted(folder.rglob(READMES[0])))
    stated = parse_provenance(text)["images_stated"]
    images = [p for p in folder.rglob("*") if p.suffix.lower() in (".jpg", ".jpeg", ".png")]
    found = sum(not path.name.endswith("_mask.png") for path in images)
    return f"{found:,} of the {stated:,} images it states" if stated is not None and found < stated else None


def environment(scratch: Path) -> dict[str, str]:
    """For a process that runs the package: no progress bars, no settings of the user's."""
    return os.environ | {
        "TQDM_DISABLE": "1",
        "HOME": str(scratch),
        "ROBOFLOW_CONFIG_DIR": str(scratch / "config.json"),
    }


def _run(arguments: list[str], scratch: Path, timeout_s: float) -> tuple[int | None, str]:
    """Exit status (None: too slow) and what was written to standard error."""
    command = [sys.executable, "-P", "-m", "repset.sources.roboflow", *arguments]
    with subprocess.Popen(
        command,
        cwd=scratch,  # the package reads a .env file in the current folder
        env=environment(scratch),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as child:
        try:
            _, said = child.communicate(timeout=timeout_s)
        except BaseException as error:
            os.killpg(child.pid, signal.SIGKILL)
            if isinstance(error, subprocess.TimeoutExpired):
                return None, ""
            raise
    return child.returncode, said


def scrub(text: str, key: str) -> str:
    """The text without the key, as it is and as it stands in an address."""
    for secret in (key, quote(key, safe=""), quote_plus(key)):
        text = text.replace(secret, "***")
    return re.sub(r"(api_key=)[^&\s\"')]+", r"\1***", text)


def explain(said: str) -> str:
    """The last line the child wrote (`Kind: message`), in words."""
    lines = [line for line in said.splitlines() if line.strip()]
    last = lines[-1].strip() if lines else "no reason given"
    low = last.lower()
    if any(word in last for word in ("ConnectionError", "ConnectTimeout", "ReadTimeout", "ProxyError", "SSLError")):
        return "no connection to Roboflow"
    if "401" in low or "api key" in low or "unauthorized" in low:
        return "that Roboflow does not accept the key"
    if "badzipfile" in low or "typeerror" in low:
        return "a download that is no archive"
    if last.startswith("DataError: ") and ", found " in last:
        return last.split(", found ", 1)[1].split(". ")[0]
    return " ".join(last.split())[:200].rstrip(".")


def main(workspace: str, project: str, version: str, export: str, folder: str) -> None:
    """The child process: everything that Roboflow's package does happens here."""
    import roboflow
    import roboflow.core.version

    unpack = roboflow.core.version.extract_zip

    def careful(location: str, **how: str) -> None:
        """The package unpacks whatever it is sent: let it have only what a pull from a file would let in."""
        archive = Path(location) / "roboflow.zip"
        if zipfile.is_zipfile(archive):
            ZipTree(archive, "the download").close()
        unpack(location, **how)

    roboflow.core.version.extract_zip = careful
    client = roboflow.Roboflow(api_key=os.environ[KEY])
    client.workspace(workspace).project(project).version(int(version)).download(export, location=folder)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except BaseException as error:
        sys.stderr.write(f"\n{type(error).__name__}: {' '.join(str(error).split())}\n")
        sys.exit(1)
