"""Tests run beside whatever installation their user has, and touch none of it."""

import os
import subprocess
import sys
from pathlib import Path

SETTINGS = ("LORP_STORE", "LORP_SIGNING_KEY", "LORP_TASK_RUNNER", "MLFLOW_TRACKING_URI", "PREFECT_API_URL")


def test_settings_of_whoever_runs_the_tests_are_not_theirs() -> None:
    tests = str(Path(__file__).parents[1])
    command = [sys.executable, "-c", "import os, conftest; print(*os.environ)"]
    environment = {**os.environ, **dict.fromkeys(SETTINGS, "theirs"), "PYTHONPATH": tests}
    told = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, cwd=tests)
    assert not set(SETTINGS) & set(told.stdout.split())
