"""Moving an alias to an approved version: conditions, a person where the policy asks for one, ledger, alias."""

import json
from dataclasses import asdict, replace
from typing import Annotated, Any, Literal, cast

from prefect import flow
from prefect.artifacts import create_table_artifact
from prefect.client.schemas.objects import State
from prefect.flow_runs import suspend_flow_run
from prefect.input import RunInput
from prefect.runtime import deployment, flow_run
from prefect.states import Completed
from pydantic import Field

from flows.promotion import MoveSpec, Registry, change_of
from flows.wording import promotion_summary, rows
from lorp.digest import canonical_json, digest_value
from lorp.errors import SpecError
from lorp.ledger import Change, Standing, standing
from lorp.promotion import Approval, Decision, PromotionPolicy, weigh
from lorp.values import encode
from tasks.aliases import aliases, check_known
from tasks.cache import PLAIN_JSON, outside
from tasks.ledger import read_ledger
from tasks.ledger_versions import read_version
from tasks.promotion import learn
from tasks.signing import signing_key
from tasks.tracking import CANDIDATE
from tasks.workspace import Workspace, workspace

_SECONDS_AN_HOUR = 3600
_DEFAULT = PromotionPolicy()


class PromotionSpec(MoveSpec):
    """A version that an alias is to be moved to.

    Attributes:
        version: Its number, or that of the alias `candidate`.
    """

    version: Annotated[int, Field(strict=True, ge=1)] | Literal["candidate"] = "candidate"


class SaidByAPerson(RunInput):
    """What the form asks on which a promotion waits."""

    approve: bool
    by: str = Field(min_length=1, max_length=200)
    note: str = Field("", max_length=2000)


class _Moved(Exception):
    """The alias stands for another version than when it was decided."""


@flow(
    name="promote",
    flow_run_name="{asked.name} to {asked.to}",
    persist_result=True,
    result_serializer=PLAIN_JSON,
)
def promote(asked: PromotionSpec, policy: PromotionPolicy = _DEFAULT, places: Workspace | None = None) -> State[Any]:
    """Moves an alias to a version if the policy allows it.

    Args:
        asked: What is asked.
        policy: What the version must meet.
        places: Where things are kept; the defaults of `tasks.workspace` unless given.

    Returns:
        Completed, named Promoted, Refused, or Unchanged where the alias stands for that version already, whatever the
        policy says.

    Raises:
        InputError: There is no such version, or the policy asks for an approval and this is no deployed run.
        LorpError: A fault.
    """
    signing_key()  # before anything is weighed, rather than after
    registry = Registry(places=places or workspace())
    registry.mend(asked.name, asked.to)
    version = number(registry, asked)
    while True:
        decision = decide(registry, asked, policy, version)
        create_table_artifact(
            rows(map(asdict, decision.conditions)), key="conditions", description="What the policy asks"
        )
        if decision.met and policy.approval and decision.production != version:
            decision = replace(decision, approval=_approval(policy, decision))
        try:
            outcome = settle(registry, asked, decision)
        except _Moved:
            continue
        return Completed(name=outcome["state"], message=promotion_summary(outcome), data=outcome)


def run_promote(asked: PromotionSpec, policy: PromotionPolicy, places: Workspace) -> dict[str, Any]:
    """Runs the flow in this process; its outcome, whatever it is."""
    return cast(dict[str, Any], promote(asked, policy, places))


def number(registry: Registry, asked: PromotionSpec) -> int:
    """The number of the version that is asked for: one only, however often the run begins again.

    Raises:
        SpecError: There is no candidate.
    """
    if asked.version != CANDIDATE:
        return int(asked.version)
    found = aliases(registry.places, asked.name).get(CANDIDATE)
    if found is None:
        raise SpecError(f"{asked.name} has no candidate", "Recompress a checkpoint under that name first")
    store, key = registry.vault.store, f"promotions/{flow_run.id}.json"
    store.create(key, canonical_json({"candidate": found}))
    return int(json.loads(store.read(key))["candidate"])


@outside("weigh", "weigh version {version}")
def decide(registry: Registry, asked: PromotionSpec, policy: PromotionPolicy, version: int) -> Decision:
    """Looks at every condition of the policy."""
    vault = registry.vault
    now = standing(read_ledger(vault, asked.name))
    found, current = read_version(vault, now, asked.name, version), now.now(asked.to)
    check_known(registry.places, asked.name, found.change)
    production = None
    if current is not None and current != version:
        production = read_version(vault, now, asked.name, current)
    known = learn(vault, policy, found, production)
    return Decision(
        name=asked.name,
        alias=asked.to,
        version=version,
        verdict=found.change.verdict,
        production=current,
        policy=policy.model_dump(mode="json"),
        conditions=weigh(policy, known),
        answers=known.answers,
    )


@outside("move", "move the alias")
def settle(registry: Registry, asked: PromotionSpec, decision: Decision) -> dict[str, Any]:
    """Moves the alias if that was decided, and only while what it was decided on still stands.

    Where the ledger says already what is asked for, the registry is made to say so too.

    Raises:
        _Moved: It does not.
    """
    reference = registry.vault.put("values", encode(decision), ".json")

    def change(now: Standing) -> Change | None:
        current = now.now(asked.to)
        if current == decision.version:
            return None
        if current != decision.production:
            raise _Moved
        return change_of(asked, now.versions[decision.version], act="promoted", decision=reference.sha256)

    there = decision.production == decision.version
    entry = registry.move(asked, "promoted", change) if decision.allowed or there else None
    state = "Promoted" if entry else "Unchanged" if decision.allowed or there else "Refused"
    return {
        "run": str(flow_run.id),
        "state": state,
        "name": asked.name,
        "alias": asked.to,
        "version": decision.version,
        "before": decision.production,
        "verdict": decision.verdict,
        "conditions": [asdict(condition) for condition in decision.conditions],
        "answers": [asdict(answer) for answer in decision.answers],
        "approval": asdict(decision.approval) if decision.approval else None,
        "decision": reference.sha256,
        "entry": entry.sequence if entry else None,
    }


def _approval(policy: PromotionPolicy, decision: Decision) -> Approval:
    """What a person says in Prefect's form, or through its API; the run is suspended until then, and begins again.

    Raises:
        SpecError: The run cannot be suspended, since no deployment could begin it again.
    """
    if deployment.id is None:
        raise SpecError(
            "the policy asks for a person's approval, and this run could not wait for one",
            "Deploy the flow, and run it with: prefect deployment run promote/promote",
        )
    what = [decision.name, decision.alias, decision.version, decision.production, decision.policy]
    question = f"Promote version {decision.version} of {decision.name} to {decision.alias}?"
    said = suspend_flow_run(
        wait_for_input=SaidByAPerson.with_initial_data(description=question, approve=False),
        key=f"approval-{digest_value(what)[:16]}",
        timeout=int(policy.approval_hours * _SECONDS_AN_HOUR),
    )
    return Approval(given=said.approve, by=said.by, note=said.note)
