"""What a Prefect server has to know before workers start: pool, deployments, automations."""

import json
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml

from flows.installation.logins import prefect_login
from flows.installation.services import POOL
from lorp.errors import OutageError, SpecError

#: Beside the file with the deployments.
AUTOMATIONS = Path("deployments") / "automations.yaml"


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What a server is to have.

    Attributes:
        file: A `prefect.yaml`.
        names: Of the deployments in it.
        most: Runs at once that a queue is for, by its name: of all its deployments together; None where one of them has
            no limit.
        automations: Those of the file beside it, by name.
    """

    file: Path
    names: tuple[str, ...]
    most: Mapping[str, int | None]
    automations: Mapping[str, Any]


def read_wanted(deployments: Path) -> Wanted:
    """What a `prefect.yaml`, and the automations beside it, ask for.

    Raises:
        SpecError: One of the files cannot be used.
    """
    file = deployments.absolute()
    entries = _by_name(file, "deployments")
    automations = _by_name(file.parent / AUTOMATIONS, "automations")
    return Wanted(file=file, names=tuple(entries), most=_most_at_once(entries.values()), automations=automations)


def deploy(prefect: str, wanted: Wanted, environment: Mapping[str, str]) -> None:
    """Makes the pool if there is none, deploys all of a file, and adds automations that are not there yet.

    Queues hand out no more runs than may go on: workers would take all the others up and put them back, over and over.

    Args:
        prefect: The server's address.
        wanted: What it is to have.
        environment: Of the commands that do it.

    Raises:
        SpecError: A file cannot be used.
        OutageError: The server does not do as asked.
    """
    folder = wanted.file.parent
    try:
        login = prefect_login(environment)
        if not httpx.get(f"{prefect}/api/work_pools/{POOL}", timeout=30, auth=login).is_success:
            _prefect(folder, environment, "work-pool", "create", POOL, "--type", "process")
        _prefect(folder, environment, "deploy", "--all", "--prefect-file", str(wanted.file))
        for queue, most in wanted.most.items():
            address, limit = f"{prefect}/api/work_pools/{POOL}/queues/{queue}", {"concurrency_limit": most}
            httpx.patch(address, json=limit, timeout=30, auth=login).raise_for_status()
        _automate(prefect, wanted, environment)
    except httpx.HTTPError as fault:
        raise OutageError(f"Prefect's server does not answer: {fault}", "Look at its log, and start again") from None


def _automate(prefect: str, wanted: Wanted, environment: Mapping[str, str]) -> None:
    asked = {"automations": {"name": {"any_": list(wanted.automations)}}}
    address, login = f"{prefect}/api/automations/filter", prefect_login(environment)
    found = httpx.post(address, json=asked, timeout=30, auth=login).raise_for_status().json()
    there = {automation["name"] for automation in found}
    missing = [automation for name, automation in wanted.automations.items() if name not in there]
    if missing:
        _prefect(wanted.file.parent, environment, "automation", "create", "--from-json", json.dumps(missing))


def _most_at_once(deployments: Iterable[Mapping[str, Any]]) -> dict[str, int | None]:
    most: dict[str, int | None] = {}
    for entry in deployments:
        queue = (entry.get("work_pool") or {}).get("work_queue_name")
        limit = entry.get("concurrency_limit") or {}
        count = limit.get("limit") if isinstance(limit, dict) else limit
        if count is not None and not isinstance(count, int):
            raise SpecError(f"the limit {count!r} of {entry['name']} is no number", "Mend the file of the deployments")
        if queue:
            before = most.get(queue, 0)
            most[queue] = before + count if count and before is not None else None
    return most


def _by_name(file: Path, kind: str) -> dict[str, Any]:
    remedy = "Name lorp's prefect.yaml with --deployments"
    try:
        found = yaml.safe_load(file.read_text(encoding="utf-8"))
        return {each["name"]: each for each in found[kind]}
    except (OSError, ValueError, yaml.YAMLError) as fault:
        raise SpecError(f"{file} cannot be read: {fault}", remedy) from None
    except (KeyError, TypeError):
        raise SpecError(f"{file} has no list of {kind} with names", remedy) from None


def _prefect(folder: Path, environment: Mapping[str, str], *words: str) -> None:
    command = (sys.executable, "-m", "prefect", "--no-prompt", *words)
    done = subprocess.run(command, cwd=folder, env=dict(environment), capture_output=True, text=True, check=False)
    if done.returncode:
        said = " ".join((done.stdout + done.stderr).split())[-300:]
        raise SpecError(f"prefect {' '.join(words[:2])} failed: {said}", "Mend the file that it complains about")
