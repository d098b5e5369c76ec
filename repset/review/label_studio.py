"""The one door to a Label Studio server: requests through its SDK, every answer checked, every failure one sentence.

The SDK knows both kinds of key (legacy token, personal access token). It retries nothing of itself (2.0.x), and this
door retries only what reads: whether something was written is found out by looking, not by asking twice.
"""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

from repset.errors import DataError, MissingExtraError

Json = dict[str, Any]

TIMEOUT_S = 120.0  # 520 tasks of 11 MB in one import took the server 42 s on two busy cores
READS = 4  # attempts of a request that changes nothing
PAGE = 2000
EXPORT = 100  # tasks of one export

_CHECK_URL = "Check the address (LABEL_STUDIO_URL or --url)"
_START = "Start it: make label-studio"


class ServerError(DataError):
    """A server that does not do what it should; `where` is its address.

    Attributes:
        passing: whether trying again later may help; wait_s: what the server asked for.
    """

    def __init__(
        self, where: str, expected: str, found: str, todo: str, *, passing: bool = False, wait_s: float = 0.0
    ) -> None:
        super().__init__(where, expected, found, todo)
        self.passing, self.wait_s = passing, wait_s


@dataclass(frozen=True)
class ServerTask:
    """A task as listed: the server's number (good for this moment only), our data and meta, and counts."""

    id: int
    data: Json
    meta: Any
    annotations: int
    predictions: int
    drafts: int

    @property
    def key(self) -> str | None:
        """Our key, None for a task that is not ours."""
        key = self.data.get("key")
        return key if isinstance(key, str) else None


class Server:
    """One Label Studio server.

    Args:
        url: its address. key: legacy token or personal access token.
        sleep: how to wait between attempts (tests wait less).
    Raises: MissingExtraError without the SDK; ServerError for an address or key that cannot be one.
    """

    def __init__(
        self, url: str, key: str, timeout_s: float = TIMEOUT_S, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        try:
            from label_studio_sdk import LabelStudio
            from label_studio_sdk.core.api_error import ApiError
        except ImportError as error:
            raise MissingExtraError("label-studio-sdk", "review") from error
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ServerError(url, "an address such as http://127.0.0.1:8080", "another text", _CHECK_URL)
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        port = f":{parts.port}" if parts.port else ""
        self.url = f"{parts.scheme}://{host}{port}{parts.path.rstrip('/')}"
        self._api_error, self._sleep = ApiError, sleep
        try:
            # The SDK's own methods copy every number of a mask through pydantic, twice the time of the import itself;
            # its transport, which knows the keys and renews them, takes bytes.
            client: Any = LabelStudio(base_url=self.url, api_key=key, timeout=timeout_s)  # type: ignore[no-untyped-call]
            self._http = client._client_wrapper.httpx_client
        except ApiError as error:
            raise self._refused(error.status_code or 401) from error

    # --- what the server is asked ------------------------------------------------------------------------------------

    def version(self) -> str:
        """The server's release, for example 1.23.2. Raises: ServerError if this is no Label Studio."""
        answer = self._read("api/version")
        release = answer.get("release") if isinstance(answer, dict) else None
        if not isinstance(release, str):
            raise self._odd("a Label Studio's version", answer)
        return release

    def find_project(self, title: str) -> int | None:
        """The project of this title, None where there is none. Raises: ServerError if there are several."""
        found = self._list(self._read("api/projects/", title=title, page_size=PAGE), "results")
        ids = [int(row["id"]) for row in found if row.get("title") == title]
        if len(ids) > 1:
            todo = "Rename or delete all but one on the server"
            raise ServerError(self.url, f"one project {title!r}", f"{len(ids)}", todo)
        return ids[0] if ids else None

    def create_project(self, title: str, config: str, text: str) -> int:
        """A new project; predictions are set to be shown."""
        body = {"title": title, "label_config": config, "description": text, "show_collab_predictions": True}
        return self._id(self._send("POST", "api/projects/", body))

    def project_settings(self, project: int) -> Json:
        """label_config, model_version, show_collab_predictions and the rest."""
        answer = self._read(f"api/projects/{project}/")
        if not isinstance(answer, dict) or answer.get("id") != project:
            raise self._odd(f"project {project}", answer)
        return answer

    def change_project(self, project: int, **settings: Any) -> None:
        """Set fields of a project."""
        self._send("PATCH", f"api/projects/{project}/", settings)

    def served_folders(self, project: int) -> list[str]:
        """Folders on the server's machine whose files it serves to this project."""
        storages = self._read("api/storages/localfiles/", project=project)
        known = storages if isinstance(storages, list) else self._list(storages, "results")
        return [str(row.get("path")) for row in known if isinstance(row, dict)]

    def serve_files(self, project: int, path: str, title: str) -> None:
        """Let the server serve files under `path` (on its own machine) to this project, without copying them."""
        body = {"project": project, "path": path, "title": title, "use_blob_urls": True, "regex_filter": ".*"}
        self._send("POST", "api/storages/localfiles/", body)

    def tasks(self, project: int) -> list[ServerTask]:
        """Every task of a project, without its regions."""
        include = "id,data,meta,total_annotations,cancelled_annotations,total_predictions,drafts"
        found: dict[int, ServerTask] = {}
        for page in range(1, 1_000_000):
            answer = self._read("api/tasks/", project=project, fields="task_only", include=include, ordering="id",
                                page_size=PAGE, page=page)  # fmt: skip
            for row in self._list(answer, "tasks"):
                found[int(row["id"])] = ServerTask(
                    int(row["id"]),
                    row["data"] if isinstance(row.get("data"), dict) else {},
                    row.get("meta"),
                    int(row.get("total_annotations") or 0) + int(row.get("cancelled_annotations") or 0),
                    int(row.get("total_predictions") or 0),
                    len(row.get("drafts") or ()),
                )
            if page * PAGE >= int(answer.get("total") or 0):
                break
        return [found[number] for number in sorted(found)]

    def add_tasks(self, project: int, body: bytes) -> tuple[int, Any]:
        """Import tasks (JSON list). After an error some of them may stand there: look before sending again.

        Returns: how many tasks and predictions the server says it made.
        """
        answer = self._send("POST", f"api/projects/{project}/import", body)
        if not isinstance(answer, dict) or not isinstance(answer.get("task_count"), int):
            raise self._odd("the number of tasks imported", answer)
        return answer["task_count"], answer.get("prediction_count")

    def change_task(self, task: int, data: Json, meta: Json) -> None:
        """Replace a task's data and meta."""
        self._send("PATCH", f"api/tasks/{task}/", {"data": data, "meta": meta})

    def delete_task(self, task: int) -> None:
        """Remove a task with what hangs on it."""
        self._send("DELETE", f"api/tasks/{task}/", None)

    def predictions(self, task: int) -> list[Json]:
        """Every prediction of a task, with its regions."""
        answer = self._read("api/predictions/", task=task)
        return self._dicts(answer if isinstance(answer, list) else self._list(answer, "results"))

    def replace_predictions(self, task: int, prediction: Json | None) -> None:
        """Leave a task with exactly this prediction."""
        for old in self.predictions(task):
            self._send("DELETE", f"api/predictions/{int(old['id'])}/", None)
        if prediction is not None:
            self._id(self._send("POST", "api/predictions/", {**prediction, "task": task}))

    def export(self, project: int, ids: Sequence[int]) -> Iterator[Json]:
        """Tasks with their annotations, drafts and what was shown, a hundred a request."""
        for start in range(0, len(ids), EXPORT):
            some = ids[start : start + EXPORT]
            asked = {"exportType": "JSON", "download_all_tasks": "true", "ids[]": list(some)}
            yield from self._dicts(self._read(f"api/projects/{project}/export", **asked))

    def users(self) -> dict[int, str]:
        """Number → e-mail address of everyone on the server."""
        answer = self._read("api/users/")
        rows = answer if isinstance(answer, list) else self._list(answer, "results")
        return {int(row["id"]): str(row.get("email") or row.get("username") or "") for row in self._dicts(rows)}

    # --- how ---------------------------------------------------------------------------------------------------------

    def _read(self, path: str, **query: Any) -> Any:
        """GET, with a few attempts where that may help."""
        for attempt in range(1, READS + 1):
            try:
                return self._send("GET", path, None, query)
            except ServerError as error:
                if not error.passing or attempt == READS:
                    raise
                self._sleep(max(error.wait_s, 0.5 * 2**attempt))
        raise AssertionError("unreachable")

    def _send(self, method: str, path: str, body: Any, query: Json | None = None) -> Any:
        """One request. Raises: ServerError for anything but a JSON answer that says yes."""
        import httpx

        content = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"} if content is not None else {}
        try:
            response = self._http.request(path, method=method, params=query, content=content, headers=headers)
        except httpx.ConnectError as error:
            raise ServerError(self.url, "a Label Studio server", "no answer", _START) from error
        except httpx.TimeoutException as error:
            todo = "Run the same command again to go on"
            raise ServerError(self.url, "an answer in time", "none", todo, passing=True) from error
        except httpx.HTTPError as error:
            found, todo = f"a broken connection ({type(error).__name__})", "Run the same command again to go on"
            raise ServerError(self.url, "an answer", found, todo, passing=True) from error
        except self._api_error as error:  # the key could not be renewed
            raise self._refused(error.status_code or 401) from error
        if response.status_code >= 400:
            raise self._refused(response.status_code, response.headers.get("Retry-After"), response.text)
        if response.status_code == 204 or (method == "DELETE" and not response.content):
            return None
        try:
            return response.json()
        except ValueError as error:
            kind = response.headers.get("Content-Type", "no type").split(";")[0]
            raise ServerError(self.url, "JSON", f"an answer of {kind}", _CHECK_URL) from error

    def _refused(self, status: int, after: str | None = None, text: str = "") -> ServerError:
        """What a status means to the person at the keyboard; never the server's own page."""
        if status in (401, 403):
            todo = "Set LABEL_STUDIO_API_KEY to a token of your account page there"
            return ServerError(self.url, "a key that it takes", f"status {status}", todo)
        if status == 404:
            return ServerError(self.url, "Label Studio's pages", "status 404", _CHECK_URL)
        if status == 429 or status >= 500:
            wait = min(float(after), 60.0) if after and after.isdigit() else 0.0
            todo = "Wait, then run the same command again to go on"
            return ServerError(self.url, "an answer", f"status {status}", todo, passing=True, wait_s=wait)
        found, todo = f"status {status}{_reason(text)}", "Mend what it names and run the same command again"
        return ServerError(self.url, "a request that it takes", found, todo)

    def _odd(self, expected: str, answer: Any) -> ServerError:
        found = f"an answer of another shape ({type(answer).__name__})"
        return ServerError(self.url, expected, found, _CHECK_URL)

    def _id(self, answer: Any) -> int:
        if not isinstance(answer, dict) or not isinstance(answer.get("id"), int):
            raise self._odd("the number of what was made", answer)
        return int(answer["id"])

    def _list(self, answer: Any, name: str) -> list[Json]:
        found = answer.get(name) if isinstance(answer, dict) else None
        if not isinstance(found, list) or not all(isinstance(row, dict) and "id" in row for row in found):
            raise self._odd(f"a list of {name}", answer)
        return found

    def _dicts(self, answer: Any) -> list[Json]:
        if not isinstance(answer, list) or not all(isinstance(row, dict) and "id" in row for row in answer):
            raise self._odd("a list", answer)
        return answer


def local_file(relative: str) -> str:
    """The address under which the server serves a file, given relative to its document root."""
    return f"/data/local-files/?d={quote(relative)}"


def _reason(text: str) -> str:
    """The server's own word on a refused request, where it gives one: short and in one line."""
    try:
        body = json.loads(text)
    except ValueError:
        return ""
    if not isinstance(body, dict):
        return ""
    said = body.get("validation_errors") or body.get("detail") or ""
    text = said if isinstance(said, str) else json.dumps(said, ensure_ascii=False)
    return f" ({' '.join(text.split())[:160]})" if text else ""
