"""Parts that die while the store is away come back, and wait for it."""

import os
import signal
import subprocess
import sys

from tests.integration.test_http_serve import Running, progress, serving, status, wait_until


def kill(running: Running, words: str) -> int:
    """Kill a child; the process id of the one that takes its place."""
    (old,) = running.children(words)
    os.kill(old, signal.SIGKILL)
    wait_until(lambda: running.children(words) not in ([], [old]))
    (new,) = running.children(words)
    return new


def test_worker_and_learner_that_die_while_the_store_is_away_wait_for_it() -> None:
    """The store hangs, so whoever wants to open it is told nothing for a second."""
    with serving() as running:
        (store,) = running.children("-server unixsocket:")
        os.kill(store, signal.SIGSTOP)
        try:
            api, learner = kill(running, "service.cli api"), kill(running, "service.cli learn")
            wait_until(lambda: status(running.client, "/livez") == 200)
            assert 503 == status(running.client, "/readyz")
        finally:
            os.kill(store, signal.SIGCONT)
        wait_until(lambda: status(running.client, "/readyz") == 200)
        answers = [running.decide(f"u{n}") for n in range(40)]
        unsubscribes = [
            {"event_id": "e", "type": "unsubscribe"} | {k: a[k] for k in ("user_id", "decision_id")}
            for a in answers
            if a["action"] is not None
        ]
        assert {"accepted"} == set(running.report(*unsubscribes))
        wait_until(lambda: progress(running)["applied"] == len(unsubscribes))
        assert [api, learner] == [
            pid for words in ("api", "learn") for pid in running.children(f"service.cli {words}")
        ]
        assert running.process.poll() is None


def test_a_first_start_without_its_store_ends_with_one_sentence() -> None:
    """Nobody listens on port 1."""
    settings = {"REDIS_URL": "redis://127.0.0.1:1/0", "FORBEAR_PSEUDONYM_KEY": "x"}
    done = subprocess.run(
        [sys.executable, "-m", "service.cli", "serve", "--port", "0"],
        env=os.environ | settings,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (2, "", 1) == (done.returncode, done.stdout, done.stderr.count("\n"))
    assert done.stderr.startswith("forbear: Redis at 127.0.0.1:1 cannot be reached")
