"""What a Prefect server has to know before workers start: pool, deployments, automations."""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import yaml

from flows.installation.services import POOL
from lorp.errors import OutageError, SpecError

#: Beside the file with the deployments.
AUTOMATIONS = Path("deployments") / "automations.yaml"


def deploy(prefect: str, deployments: Path, environment: Mapping[str, str]) -> list[str]:
    """Makes the pool if there is none, deploys all of a file, and adds automations that are not there yet.

    Args:
        prefect: The server's address.
        deployments: A `prefect.yaml`.
        environment: Of the commands that do it.

    Returns:
        Names of the deployments.

    Raises:
        SpecError: The file cannot be used.
        OutageError: The server does not do as asked.
    """
    folder = deployments.absolute().parent
    try:
        if not httpx.get(f"{prefect}/api/work_pools/{POOL}", timeout=30).is_success:
            _prefect(folder, environment, "work-pool", "create", POOL, "--type", "process")
        _prefect(folder, environment, "deploy", "--all", "--prefect-file", str(deployments.absolute()))
        _automate(prefect, folder, environment)
    except httpx.HTTPError as fault:
        raise OutageError(f"Prefect's server does not answer: {fault}", "Look at its log, and start again") from None
    return [deployment["name"] for deployment in _read(deployments)["deployments"]]


def _automate(prefect: str, folder: Path, environment: Mapping[str, str]) -> None:
    wanted = {automation["name"]: automation for automation in _read(folder / AUTOMATIONS)["automations"]}
    asked = {"automations": {"name": {"any_": list(wanted)}}}
    found = httpx.post(f"{prefect}/api/automations/filter", json=asked, timeout=30).raise_for_status().json()
    missing = [wanted[name] for name in wanted.keys() - {automation["name"] for automation in found}]
    if missing:
        _prefect(folder, environment, "automation", "create", "--from-json", json.dumps(missing))


def _read(file: Path) -> dict[str, Any]:
    try:
        found = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as fault:
        raise SpecError(f"{file} cannot be read: {fault}", "Name lorp's prefect.yaml with --deployments") from None
    return dict(found)


def _prefect(folder: Path, environment: Mapping[str, str], *words: str) -> None:
    command = (sys.executable, "-m", "prefect", "--no-prompt", *words)
    done = subprocess.run(command, cwd=folder, env=dict(environment), capture_output=True, text=True, check=False)
    if done.returncode:
        said = " ".join((done.stdout + done.stderr).split())[-300:]
        raise SpecError(f"prefect {' '.join(words[:2])} failed: {said}", "Mend the file that it complains about")
