"""What can break between Label Studio and the ledger: every failure is a sentence, no kill loses or doubles a thing."""

import json
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import label_studio_stub as stub
import label_studio_world as world
import pytest

from repset.curate.ledger import Ledger
from repset.project import Project
from repset.review.label_studio import Server, ServerError
from repset.review.ls_connect import title_of
from repset.review.ls_items import select
from repset.review.ls_pull import pull
from repset.review.ls_push import push

client, send, bring = world.client, world.send, world.bring
by_sample, lines, shown = world.by_sample, world.lines, world.shown
TITLE = title_of("photos", "image")


@pytest.fixture
def there() -> Iterator[Any]:
    with stub.stub() as server:
        yield server


@pytest.fixture
def here(tmp_path: Path) -> Project:
    project: Project = world.project_at(tmp_path)
    world.photos(project, 6)
    return project


# --- what can break --------------------------------------------------------------------------------------------------


def always(*answer: Any) -> Any:
    return lambda method, path: answer


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        (always(401, b'{"detail": "Invalid token."}'),
         "expected a key that it takes, found status 401. "
         "Set LABEL_STUDIO_API_KEY to a token of your account page there."),
        (always(404, b"<html>", "text/html"),
         "expected Label Studio's pages, found status 404. Check the address (LABEL_STUDIO_URL or --url)."),
        (always(429, b"{}"), "expected an answer, found status 429. Wait, then run the same command again to go on."),
        (always(500, b"<html>boom</html>", "text/html"),
         "expected an answer, found status 500. Wait, then run the same command again to go on."),
        (always(0, b"0.5"), "expected an answer in time, found none. Run the same command again to go on."),
        (always(200, b"<html>login</html>", "text/html; charset=utf-8"),
         "expected JSON, found an answer of text/html. Check the address (LABEL_STUDIO_URL or --url)."),
        (always(200, b'{"unexpected": 1}'),
         "expected a list of results, found an answer of another shape (dict). "
         "Check the address (LABEL_STUDIO_URL or --url)."),
        (always(400, b'{"detail": "Validation error", "validation_errors": {"title": ["too long"]}}'),
         'expected a request that it takes, found status 400 ({"title": ["too long"]}). '
         "Mend what it names and run the same command again."),
    ],
)  # fmt: skip
def test_every_failure_is_one_sentence_and_leaves_nothing_behind(
    here: Project, there: Any, failure: Any, said: str
) -> None:
    send(here, there)
    for task in there.store.tasks.values():
        there.store.annotate(task["id"], shown(task))
    before = json.dumps(there.store.tasks)
    there.store.fail = failure
    server = Server(there.url, world.TOKEN, 0.1, sleep=lambda seconds: None)
    for work in (
        lambda: push(server, select(here, "photos", "image"), TITLE, here.root),
        lambda: pull(server, TITLE, Ledger(here.reviews)),
    ):
        with pytest.raises(ServerError) as error:
            work()
        assert str(error.value) == f"{there.url}: {said}"
        assert world.TOKEN not in str(error.value)
    there.store.fail = lambda method, path: None
    assert json.dumps(there.store.tasks) == before
    assert lines(here) == []


def test_a_server_that_is_down(here: Project) -> None:
    with pytest.raises(ServerError) as error:
        Server("http://127.0.0.1:9", world.TOKEN).version()
    assert str(error.value) == (
        "http://127.0.0.1:9: expected a Label Studio server, found no answer. Start it: make label-studio."
    )
    with pytest.raises(ServerError) as error:
        Server("127.0.0.1:9", world.TOKEN)
    assert str(error.value) == (
        "127.0.0.1:9: expected an address such as http://127.0.0.1:8080, found another text. "
        "Check the address (LABEL_STUDIO_URL or --url)."
    )


@pytest.mark.parametrize(
    "failure", ["half", "late", (500, b"boom"), (429, b"", "text/plain", [("Retry-After", "1")]), (0, b"0.3")]
)
@pytest.mark.parametrize("times", [1, 3])
def test_an_import_that_breaks_leaves_each_item_there_once(here: Project, there: Any, failure: Any, times: int) -> None:
    left = [times]

    def fail(method: str, path: str) -> Any:
        if method == "POST" and path.endswith("/import") and left[0]:
            left[0] -= 1
            return failure
        return None

    there.store.fail = fail
    server = Server(there.url, world.TOKEN, 0.2, sleep=lambda seconds: None)
    done = push(server, select(here, "photos", "image"), TITLE, here.root)
    assert done.new == 6
    assert Counter(task["data"]["key"] for task in there.store.tasks.values()).most_common(1)[0][1] == 1
    assert len(there.store.tasks) == 6
    assert all(len(task["predictions"]) == 1 for task in there.store.tasks.values())


def child(work: Any) -> int:
    """Run `work` in a process of its own, which can be killed; returns its number."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
            os._exit(0)
        except BaseException:
            os._exit(1)
    return pid


def killed_at_random(work: Any, times: int, longest_s: float, seed: int) -> int:
    """Kill `work` at random moments; returns how often it was still running then."""
    moments, running = random.Random(seed), 0
    for _ in range(times):
        pid = child(work)
        time.sleep(moments.random() * longest_s)
        os.kill(pid, signal.SIGKILL)
        running += os.waitpid(pid, 0)[1] == signal.SIGKILL
    return running


def test_thirty_kills_lose_and_double_nothing(here: Project, there: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    world.photos(here, 40)
    monkeypatch.setattr("repset.review.ls_push.BATCH_TASKS", 3)
    monkeypatch.setattr("repset.review.label_studio.EXPORT", 4)
    selection = select(here, "photos", "image")

    def send_all() -> None:
        push(client(there), selection, TITLE, here.root)

    start = time.perf_counter()
    pid = child(send_all)
    os.waitpid(pid, 0)
    whole_s = time.perf_counter() - start
    there.store.tasks.clear()
    assert killed_at_random(send_all, 15, whole_s, seed=5) > 0
    done = push(client(there), selection, TITLE, here.root)
    assert len({task["data"]["key"] for task in there.store.tasks.values()}) == len(there.store.tasks) == 40
    assert all(len(task["predictions"]) == 1 for task in there.store.tasks.values())
    assert done.project is not None
    for task in there.store.tasks.values():
        there.store.annotate(task["id"], shown(task)[:2])

    def bring_all() -> None:
        pull(client(there), TITLE, Ledger(here.reviews))

    assert killed_at_random(bring_all, 15, whole_s, seed=6) > 0
    bring_all()
    counts = Counter((d.sample_id, d.target["class"], d.action) for d in lines(here))
    assert len(counts) == 120
    assert set(counts.values()) == {1}
    assert Counter(action for _, _, action in counts) == {"accept": 80, "reject": 40}
