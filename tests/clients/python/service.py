"""The daemon under test, and scripts for its mock runner."""

import faulthandler
import json
import os
import time
import urllib.request

# A script that hangs ends with the line where it hangs.
faulthandler.dump_traceback_later(120, exit=True)

ADDRESS = os.environ["SLM_ADDRESS"]
# A model that holds conversations; with the mock runner it has tools and thinking.
MODEL = os.environ["SLM_MODEL"]


def script(*directives):
    """A text that makes the mock runner do this; see `tests/runner-mock/src/lib.rs`."""
    return f"[[mock: {'; '.join(directives)}]]"


def active():
    """Number of requests that the daemon is answering."""
    with urllib.request.urlopen(f"{ADDRESS}/api/ps") as reply:
        return sum(model["active"] for model in json.load(reply)["models"])


def wait_until_idle():
    """Waits until no request is answered: the answer of a client that left was cancelled."""
    deadline = time.monotonic() + 10
    while active():
        assert time.monotonic() < deadline, "the daemon goes on with an answer that nobody reads"
        time.sleep(0.01)


def expect(error, call):
    """Returns the error of this class that the call raises."""
    try:
        call()
    except error as raised:
        return raised
    raise AssertionError(f"the call raises no {error}")


def run(*tests):
    """Runs the tests; the traceback of a failure names the test."""
    for test in tests:
        test()
        wait_until_idle()
