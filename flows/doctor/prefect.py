"""The checks of Prefect's side, in their order."""

from prefect.settings import PREFECT_API_URL

from flows.doctor.runs import look_at_automations, look_at_parked, look_at_runs
from flows.doctor.server import look_at_deployments, look_at_pool, look_at_server
from tasks.doctor.check import Check, ok

_IMPORTING_SECONDS = 60.0


def prefect_checks() -> list[Check]:
    """None of a server where none is set: no server is started."""
    if not PREFECT_API_URL.value():
        without = ok("prefect", "no server is set: runs use one in their own process, and schedules need one")
        return [Check(name="prefect", look=lambda: [without])]
    needs = ("prefect",)
    return [
        Check(name="prefect", look=look_at_server),
        Check(name="deployments", look=look_at_deployments, needs=needs, seconds=_IMPORTING_SECONDS),
        Check(name="work pool", look=look_at_pool, needs=needs),
        Check(name="automations", look=look_at_automations, needs=needs),
        Check(name="runs", look=look_at_runs, needs=needs),
        Check(name="watch", look=look_at_parked, needs=needs),
    ]
