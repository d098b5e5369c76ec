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
from pathlib import Path

from repset.errors import ConfigError, MissingExtraError, RepsetError

PREFIX = "roboflow:"
KEY = "ROBOFLOW_API_KEY"
TIMEOUT_S = 1800.0
_ORIGIN = re.compile(r"^roboflow:([\w.-]+)/([\w.-]+)/(\d+)$")


def fetch_version(origin: str, export: str, folder: Path, way_out: str, timeout_s: float = TIMEOUT_S) -> None:
    """Download `roboflow:workspace/project/version` in the format `export` into `folder`, which must not exist.

    Raises: ConfigError for another spelling; MissingExtraError without the package; RepsetError without a key or a
        network, or for whatever Roboflow answers, in one sentence without the key.
    """
    match = _ORIGIN.match(origin)
    if match is None:
        raise ConfigError(f"{origin}: expected roboflow:workspace/project/version. Mend the origin.")
    key = os.environ.get(KEY, "").strip()
    if not key:
        todo = "Set it to the private API key of your Roboflow account"
        raise RepsetError(f"{origin}: expected a key in {KEY}, found none. {todo}. {way_out}.")
    if key.upper() == key:  # the package takes such a key for a placeholder and asks nobody
        raise RepsetError(f"{origin}: expected a private API key in {KEY}, found a placeholder. Copy it again.")
    if importlib.util.find_spec("roboflow") is None:
        raise MissingExtraError("Roboflow's package", "roboflow")
    with tempfile.TemporaryDirectory(prefix="repset.") as scratch:
        status, said = _run([*match.groups(), export, str(folder.resolve())], Path(scratch), timeout_s)
    if status is None:
        reason = f"no answer within {timeout_s:.0f} s"
    elif status:
        reason = _explain(_scrub(said, key))
    elif not any(folder.rglob("*.*")):
        reason = "an empty download"
    else:
        return
    raise RepsetError(f"{origin}: expected an export as {export}, found {reason}. {way_out}.")


def _run(arguments: list[str], scratch: Path, timeout_s: float) -> tuple[int | None, str]:
    """Exit status (None: too slow) and what was written to standard error."""
    environment = os.environ | {
        "TQDM_DISABLE": "1",
        "HOME": str(scratch),
        "ROBOFLOW_CONFIG_DIR": str(scratch / "config.json"),
    }
    command = [sys.executable, "-P", "-m", "repset.sources.roboflow", *arguments]
    with subprocess.Popen(
        command,
        cwd=scratch,  # the package reads a .env file in the current folder
        env=environment,
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


def _scrub(text: str, key: str) -> str:
    text = text.replace(key, "***")
    return re.sub(r"(api_key=)[^&\s\"')]+", r"\1***", text)


def _explain(said: str) -> str:
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
    return " ".join(last.split())[:200].rstrip(".")


def main(workspace: str, project: str, version: str, export: str, folder: str) -> None:
    """The child process: everything that Roboflow's package does happens here."""
    import roboflow

    client = roboflow.Roboflow(api_key=os.environ[KEY])
    client.workspace(workspace).project(project).version(int(version)).download(export, location=folder)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except BaseException as error:
        sys.stderr.write(f"\n{type(error).__name__}: {' '.join(str(error).split())}\n")
        sys.exit(1)
