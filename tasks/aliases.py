"""Aliases in the registry, which follow the ledger."""

import logging
from collections.abc import Mapping, Sequence
from functools import partial

from mlflow import MlflowClient

from lorp.errors import RegistryError
from lorp.ledger import Change, Entry, last_move, standing
from tasks.ledger import read_ledger
from tasks.tracking import not_there, patiently
from tasks.vault import Vault
from tasks.workspace import Workspace

LOGGER = logging.getLogger("lorp.aliases")


def aliases(places: Workspace, name: str) -> dict[str, int]:
    """What each alias of a registered model stands for in the registry; nothing for a model that it does not know.

    Raises:
        RegistryError: MLflow refuses or cannot be reached.
    """
    found = patiently(places, lambda client: client.search_registered_models(f"name = '{name}'"))
    return {alias: int(version) for model in found for alias, version in model.aliases.items()}


def check_known(places: Workspace, name: str, change: Change) -> None:
    """Makes sure that a version in the registry is the ledger's.

    Raises:
        RegistryError: There is no such version, or it is another; or MLflow cannot be used.
    """
    tags: dict[str, str] = {}

    def look(client: MlflowClient) -> None:
        with not_there():
            tags.update(client.get_model_version(name, str(change.version)).tags)

    patiently(places, look)
    if tags.get("lorp.verdict") != change.verdict:
        raise RegistryError(
            f"version {change.version} of {name} in the registry is not the one in the ledger",
            "Look at --tracking-uri and --store: they must be those that the version was registered with",
        )


def left_behind(entries: Sequence[Entry], registered: Mapping[str, int], alias: str) -> bool:
    """Whether an alias is where it was before the ledger's last entry about it, as a crash leaves it."""
    last, now = last_move(entries, alias), standing(entries).now(alias)
    if last is None or registered.get(alias) == now:
        return False
    return registered.get(alias) == standing(entries[: last.sequence - 1]).now(alias)


def follow(places: Workspace, vault: Vault, name: str, alias: str) -> int | None:
    """Moves an alias to where the ledger says it is; the version that it then stands for.

    Whoever moves it looks at the ledger again afterwards, so of several the last to move it moves it to the ledger's
    last word.

    Raises:
        RegistryError: MLflow refuses or cannot be reached.
        IntegrityError: The ledger is broken.
    """
    while True:
        now = standing(read_ledger(vault, name))
        version = now.now(alias)
        if version is None or aliases(places, name).get(alias) == version:
            return version
        check_known(places, name, now.versions[version])
        patiently(places, partial(_set, name=name, alias=alias, version=version))
        LOGGER.info("%s@%s is version %d", name, alias, version)


def _set(client: MlflowClient, name: str, alias: str, version: int) -> None:
    client.set_registered_model_alias(name, alias, str(version))
