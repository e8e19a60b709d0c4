"""The checks of an installation, but for Prefect's side, in their order."""

from collections.abc import Iterator

from tasks.doctor.check import Check, Finding
from tasks.doctor.ledgers import look_at_ledgers
from tasks.doctor.machine import look_at_home, look_at_settings
from tasks.doctor.packages import look_at_packages
from tasks.doctor.store import look_at_store
from tasks.workspace import Workspace, workspace

_LEDGER_SECONDS = 60.0


def installation_checks(store: str | None, tracking_uri: str | None) -> list[Check]:
    """Checks of this machine, the store and the registry; where they are is found out by the checks themselves."""

    def places() -> Workspace:
        return workspace(store, tracking_uri)

    def registry() -> Iterator[Finding]:
        from tasks.doctor.registry import look_at_registry  # with broken packages it cannot be imported

        yield from look_at_registry(places())

    def aliases() -> Iterator[Finding]:
        from tasks.doctor.registry import look_at_aliases

        yield from look_at_aliases(places())

    return [
        Check(name="packages", look=look_at_packages),
        Check(name="settings", look=lambda: look_at_settings(places)),
        Check(name="home", look=look_at_home, needs=("settings",)),
        Check(name="store", look=lambda: look_at_store(places().store), needs=("settings",)),
        Check(name="ledgers", look=lambda: look_at_ledgers(places()), needs=("store",), seconds=_LEDGER_SECONDS),
        Check(name="registry", look=registry, needs=("settings",)),
        Check(name="aliases", look=aliases, needs=("store", "registry"), seconds=_LEDGER_SECONDS),
    ]
