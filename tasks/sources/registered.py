"""`mlflow:models:/name@alias` -> the folder that the model version's source names, checked against its digest."""

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import SQLAlchemyError

from lorp.digest import digest_listing, list_files
from lorp.errors import IntegrityError, SourceError
from lorp.licence import identifier
from tasks.store.folder import folder_at
from tasks.tracking import LICENCE, unusable
from tasks.workspace import workspace

_ADDRESS = re.compile(r"mlflow:models:/(?P<name>[^/@]+)(?:@(?P<alias>[A-Za-z0-9_-]+)|/(?P<version>[0-9]+))")
_NOT_THERE = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")


@dataclass(frozen=True, kw_only=True)
class RegisteredVersion:
    """A version in the registry.

    Attributes:
        name: The registered model's name.
        version: Its number.
        address: Where its files are.
        sha256: Digest over them, if the version says so.
        licence: The identifier of their licence, if the version says so.
    """

    name: str
    version: str
    address: str
    sha256: str | None
    licence: str | None = None


def registered_source(source: str, tracking_uri: str | None = None) -> Path:
    """A folder with a registered version's files; every file, where their digest is known.

    Args:
        source: `mlflow:models:/name@alias` or `mlflow:models:/name/version`.
        tracking_uri: MLflow's; the workspace's unless given.

    Raises:
        SourceError: There is no such version, or its files lie where lorp cannot get them.
        IntegrityError: They are not those that were registered.
        RegistryError: MLflow cannot be used.
        OutageError: The bucket does not answer.
    """
    found = find_version(source, tracking_uri or workspace().tracking_uri)
    folder = _folder(source, found)
    if found.sha256:
        names = [path.name for path in folder.iterdir() if path.is_file()]
        if digest_listing(list_files(folder, names)) != found.sha256:
            raise IntegrityError(
                f"the files at {found.address} are not those that were registered as {found.name} {found.version}",
                "Make the variant again with the job that registered it",
            )
    return folder


def find_version(source: str, tracking_uri: str) -> RegisteredVersion:
    """Asks the registry what an address means now.

    Raises:
        SourceError: There is no such version.
        RegistryError: MLflow cannot be used.
    """
    match = _ADDRESS.fullmatch(source)
    if not match:
        raise SourceError(
            f"{source} is no address in the registry",
            "Give one such as mlflow:models:/name@alias or mlflow:models:/name/3",
        )
    try:
        client = MlflowClient(tracking_uri=tracking_uri)
        if match["alias"]:
            version = client.get_model_version_by_alias(match["name"], match["alias"])
        else:
            version = client.get_model_version(match["name"], match["version"])
    except MlflowException as fault:
        if fault.error_code in _NOT_THERE:
            raise SourceError(f"the registry has no {source}", "Look at its names, versions and aliases") from None
        raise unusable(tracking_uri, fault) from fault
    except (SQLAlchemyError, OSError) as fault:
        raise unusable(tracking_uri, fault) from fault
    return RegisteredVersion(
        name=version.name,
        version=str(version.version),
        address=str(version.source),
        sha256=version.tags.get("lorp.variant"),
        licence=identifier(version.tags.get(LICENCE)),
    )


def _folder(source: str, found: RegisteredVersion) -> Path:
    parts = urlsplit(found.address.removeprefix("lorp-"))
    if parts.scheme == "s3":
        from tasks.sources.bucket import bucket_folder, bucket_source

        return bucket_folder(found.address) if found.sha256 else bucket_source(found.address)
    if parts.scheme in ("", "file"):
        folder = folder_at(parts.geturl()) if parts.scheme else Path(found.address)
        if folder is None or not folder.is_dir():
            raise SourceError(f"{source} lies at {found.address}, which is not on this machine", "Use a store in S3")
        return folder
    raise SourceError(f"{source} lies at {found.address}, which lorp does not read", "Give its files as a folder")
