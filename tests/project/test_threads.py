"""Threads of a pass sleep while they wait for one another: said before anything imports torch."""

import os
import subprocess
import sys

import pytest

# Says what torch would find, as soon as anything imports it.
LOOK = """
import os, sys
def look(event, arguments):
    if event == "import" and arguments[0] == "torch":
        os.write(1, os.environ.get("OMP_WAIT_POLICY", "").encode())
        os._exit(0)
sys.addaudithook(look)
import {module}
import torch
"""


def found_by_torch(module: str, environment: dict[str, str]) -> str:
    command = [sys.executable, "-c", LOOK.format(module=module)]
    return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout


@pytest.mark.parametrize("module", ["flows.cli", "flows.recompress", "tasks.capture", "tasks.heal", "tasks.search"])
def test_threads_sleep_while_they_wait(module: str) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    assert found_by_torch(module, environment) == "PASSIVE"


def test_what_a_person_says_of_threads_stays() -> None:
    assert found_by_torch("flows.recompress", {**os.environ, "OMP_WAIT_POLICY": "ACTIVE"}) == "ACTIVE"
