"""Schemathesis sends requests to every route of the OpenAPI document, right ones and wrong ones.

No answer may be an error of the server, have a status or a type that the document does not list, or a body of another shape.
"""

import os
import subprocess
import sys
from pathlib import Path

from service import ADDRESS

# Streams without an end, and routes that ask another server, which is not there.
LEFT_OUT = r"/slm/v1/(events|jobs/\{id\}/progress|explain)|/api/(pull|push)"
# Requests for each route, beside those that try each value of each field.
EXAMPLES = 10
CHECKS = [
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
]
# What Schemathesis asks for: most models of its own making would not be here.
HOOKS = '''
import random

import schemathesis

CHOICE = random.Random(7)


@schemathesis.hook
def before_call(context, case, kwargs):
    body = case.body
    # The models stay as they are.
    if case.path in ("/api/delete", "/api/create"):
        return
    if isinstance(body, dict) and isinstance(body.get("model"), str):
        models = ["able", "plain", "vectors", "eye", "missing"]
        if case.path == "/slm/v1/pin":
            # Others find a free slot.
            models = ["able", "missing"]
        case.body = {**body, "model": CHOICE.choice(models)}
'''


def main():
    Path("hooks_of_models.py").write_text(HOOKS)
    command = [sys.executable, "-m", "schemathesis.cli", "run"]
    command += [f"{ADDRESS}/slm/v1/openapi.json", "--phases", "coverage,fuzzing"]
    command += ["--checks", ",".join(CHECKS), "--max-examples", str(EXAMPLES)]
    command += ["--exclude-path-regex", LEFT_OUT, "--request-timeout", "20"]
    command += ["--seed", "7", "--no-shrink", "--warnings", "off", "--workers", "2"]
    path = os.pathsep.join([os.environ["PYTHONPATH"], "."])
    environment = {**os.environ, "PYTHONPATH": path, "SCHEMATHESIS_HOOKS": "hooks_of_models"}
    done = subprocess.run(command, env=environment, check=False)
    assert done.returncode == 0, "the report above names each failure"


main()
