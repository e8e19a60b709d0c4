"""An approved verdict's version in MLflow: found or made, agreed on, the candidate once.

MLflow numbers versions one after the other, so whoever has made one finds every lower one of the same verdict. All take
the lowest, and remove the others, which nobody can have used.
"""

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion

from lorp.errors import RegistryError
from lorp.ledger import standing
from tasks.ledger import read_ledger
from tasks.registration import Registration
from tasks.tracking import CANDIDATE, already_there, not_there
from tasks.vault import Vault
from tasks.workspace import Workspace

_WAS_CANDIDATE = "lorp.was_candidate"


def standing_version(client: MlflowClient, registration: Registration) -> int | None:
    """The verdict's version, once it has become the candidate."""
    found = _versions(client, registration)
    return int(found[0].version) if found and _WAS_CANDIDATE in found[0].tags else None


def settle_version(
    client: MlflowClient, registration: Registration, run_id: str, places: Workspace, vault: Vault
) -> int:
    """The verdict's one version, found or made.

    It becomes the candidate once, if it is the newest: where the alias goes afterwards is for people to say.

    Raises:
        IntegrityError: There are several, and the ledger, which says what is used, is broken.
        RegistryError: MLflow has not kept it.
    """
    if not _versions(client, registration):
        _make(client, registration, run_id, places)
    found = _versions(client, registration)
    if not found:
        raise RegistryError(f"MLflow has not kept the version of {registration.name}", "Look at it, and run again")
    version = found[0]
    for other in found[1:]:
        _remove(client, other, vault)
    if _WAS_CANDIDATE not in version.tags:
        before = client.get_registered_model(registration.name).aliases.get(CANDIDATE)
        if before is None or int(before) < int(version.version):  # a newer one may have come while this was cut off
            client.set_registered_model_alias(registration.name, CANDIDATE, version.version)
        client.set_model_version_tag(registration.name, version.version, _WAS_CANDIDATE, "true")
    return int(version.version)


def all_versions(client: MlflowClient, name: str) -> list[ModelVersion]:
    """Every version of a name."""
    return list(client.search_model_versions(f"name = '{name}'"))


def _versions(client: MlflowClient, registration: Registration) -> list[ModelVersion]:
    """All of the verdict, the lowest first."""
    found = all_versions(client, registration.name)
    ours = [version for version in found if version.tags.get("lorp.verdict") == registration.verdict.id]
    return sorted(ours, key=lambda version: int(version.version))


def _make(client: MlflowClient, registration: Registration, run_id: str, places: Workspace) -> None:
    if not client.search_registered_models(f"name = '{registration.name}'"):
        with already_there():
            client.create_registered_model(registration.name)
    client.create_model_version(
        registration.name,
        source=_source(registration.source, places),
        run_id=run_id,
        tags=registration.tags,
        description=registration.headline,
    )


def _remove(client: MlflowClient, version: ModelVersion, vault: Vault) -> None:
    """Removes one too many, unless it is used all the same: by an alias, or in the ledger."""
    number = int(version.version)
    entered = standing(read_ledger(vault, version.name)).versions
    with not_there():
        if number not in entered and not client.get_model_version(version.name, str(number)).aliases:
            client.delete_model_version(version.name, str(number))


def _source(address: str, places: Workspace) -> str:
    """An MLflow server refuses local paths as sources, but not addresses of a scheme that it does not know."""
    return f"lorp-{address}" if address.startswith("file:") and places.tracking_uri.startswith("http") else address
