"""Start Label Studio with one command, in an environment of its own, for this machine alone.

    python tools/label_studio_server.py            install on the first call, start, wait until Ctrl-C
    python tools/label_studio_server.py --install  only install

It listens on 127.0.0.1, sends nothing anywhere, and serves files of the project (its folder `datasets/` and the
proxies under `.repset/media`) without copying them. Address, token and password are made on the first start and kept in
`.repset/label_studio/connection.json`, readable by its owner alone; `repset labelstudio` finds them there.

The server has an environment of its own because it needs numpy 2.2, which the pose library does not take.
"""

import argparse
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

VERSION = "1.23.2"
UV = "0.13.8"
EMAIL = "curator@localhost.local"
READY_S = 300  # the first start migrates a fresh database: 92 s on two cores


@dataclass(frozen=True)
class Server:
    """A running server.

    Attributes:
        url: http://127.0.0.1:PORT; token: a legacy token of its one user; password: of EMAIL, for the browser.
    """

    url: str
    token: str
    password: str
    process: subprocess.Popen[bytes]


def install(env: Path) -> Path:
    """Make the environment if it is not there; returns the server's program."""
    program = env / "bin" / "label-studio"
    done = env / f".installed-{VERSION}"
    if done.is_file() and program.is_file():
        return program
    print(f"Installing Label Studio {VERSION} into {env} (about 850 MB, once)", flush=True)
    subprocess.run([sys.executable, "-m", "venv", str(env)], check=True)
    python = str(env / "bin" / "python")
    quiet = ["--quiet", "--disable-pip-version-check"]
    subprocess.run([python, "-m", "pip", "install", *quiet, f"uv=={UV}"], check=True)
    uv = str(env / "bin" / "uv")
    subprocess.run([uv, "pip", "install", "--quiet", "--python", python, f"label-studio=={VERSION}"], check=True)
    done.touch()
    return program


def environment(program: Path, folder: Path, root: Path, token: str, password: str) -> dict[str, str]:
    """The whole environment of the server: nothing of the caller's goes in."""
    named = {
        "BASE_DATA_DIR": str(folder / "data"),
        "USERNAME": EMAIL,
        "PASSWORD": password,
        "USER_TOKEN": token,
        "ENABLE_LEGACY_API_TOKEN": "true",
        "LOCAL_FILES_SERVING_ENABLED": "true",
        "LOCAL_FILES_DOCUMENT_ROOT": str(root),
        "COLLECT_ANALYTICS": "false",
        "LATEST_VERSION_CHECK": "false",
        "SENTRY_DSN": "",
        "FRONTEND_SENTRY_DSN": "",
        "DISABLE_SIGNUP_WITHOUT_LINK": "true",
    }
    plain = {"PATH": f"{program.parent}:/usr/bin:/bin", "HOME": str(folder / "home"), "LANG": "C.UTF-8"}
    return plain | {f"LABEL_STUDIO_{name}": value for name, value in named.items()}


def is_free(port: int) -> bool:
    """Whether nothing listens on the port; a busy one would make the server take the next in silence."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


@contextmanager
def serving(program: Path, folder: Path, root: Path, port: int) -> Iterator[Server]:
    """A server from here to the end of the block.

    Args:
        folder: its database, home and connection.json; root: files under it can be served.
    Raises: SystemExit with one sentence if the port is taken or the server does not come up.
    """
    if not is_free(port):
        sys.exit(f"Port {port}: expected a free port, found another program on it. Choose one: --port N")
    (folder / "home").mkdir(parents=True, exist_ok=True)
    for served in (root / ".repset" / "media", root / "datasets"):
        served.mkdir(parents=True, exist_ok=True)
    url = f"http://127.0.0.1:{port}"
    token, password = _secrets(folder / "connection.json", url)
    command = [program, "start", "--no-browser", "--internal-host", "127.0.0.1", "--port", str(port)]
    with (folder / "server.log").open("ab") as log:
        process = subprocess.Popen(
            [*map(str, command), "--log-level", "WARNING"],
            env=environment(program, folder, root, token, password),
            stdout=log,
            stderr=log,
            cwd=folder,
        )
    try:
        _wait(process, url, token, folder / "server.log")
        yield Server(url, token, password, process)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _secrets(path: Path, url: str) -> tuple[str, str]:
    """Token and password, made once: the server takes them only when it makes its database."""
    known = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    token = known.get("api_key") or secrets.token_hex(20)
    password = known.get("password") or secrets.token_urlsafe(12)
    part = path.with_suffix(".part")
    part.touch(mode=0o600)
    text = json.dumps({"url": url, "api_key": token, "email": EMAIL, "password": password}, indent=2)
    part.write_text(text + "\n", encoding="utf-8")
    part.replace(path)
    return token, password


def _wait(process: subprocess.Popen[bytes], url: str, token: str, log: Path) -> None:
    """Until the server on this port knows our token, so that it is ours."""
    headers = {"Authorization": f"Token {token}"}
    request = urllib.request.Request(f"{url}/api/current-user/whoami", headers=headers)  # noqa: S310 - our own address
    until = time.monotonic() + READY_S
    while time.monotonic() < until:
        if process.poll() is not None:
            sys.exit(f"Label Studio: expected a server, found that it ended with {process.returncode}. Read {log}")
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310
                if json.load(answer).get("email") == EMAIL:
                    return
        except (urllib.error.URLError, OSError, ValueError):
            time.sleep(0.5)
    sys.exit(f"Label Studio: expected it to be ready within {READY_S} s, found no answer. Read {log}")


def main() -> None:
    """The command line."""
    root = Path(__file__).resolve().parent.parent
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--folder", type=Path, default=root / ".repset" / "label_studio", help="database and secrets")
    parser.add_argument("--env", type=Path, help="environment of the server  [FOLDER/env]")
    parser.add_argument("--root", type=Path, default=root, help="files under it can be served")
    parser.add_argument("--install", action="store_true", help="install and stop")
    asked = parser.parse_args()
    folder = asked.folder.resolve()
    program = install((asked.env or folder / "env").resolve())
    if asked.install:
        return

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, stop)
    try:
        print("Starting Label Studio (the first start takes about a minute and a half)", flush=True)
        with serving(program, folder, asked.root.resolve(), asked.port) as server:
            print(f"Label Studio: {server.url}   sign in as {EMAIL}, password in {folder / 'connection.json'}")
            print(f"Send tasks: repset labelstudio push SOURCE     stop: Ctrl-C (process {os.getpid()})", flush=True)
            server.process.wait()
    except KeyboardInterrupt:
        print("stopped")


if __name__ == "__main__":
    main()
