"""The stages of a run -> the chain from its source to its verdict, every link by the one stage that can be there.

A record's manifests are believed in nothing: each stage has to be of a known kind, have the outputs of its kind, and
take what the right kind of stage has made.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from lorp.digest import digest_value
from lorp.errors import IntegrityError
from tasks.kinds import KINDS, Made
from tasks.vault import Manifest, Reference

#: What measures, and how a role begins or ends that names it.
_MEASURES = {"evaluate": "", "answers": "_tasks", "generate": "_generation"}


@dataclass(frozen=True)
class Chain:
    """What was judged, and what it came from.

    Attributes:
        stages: All stages of the run, of candidates that were not judged too.
    """

    stages: tuple[Manifest, ...]

    @cached_property
    def makers(self) -> dict[str, Manifest]:
        """The stage that made something, by its sha256."""
        return {made.sha256: stage for stage in self.stages for made in stage.outputs.values()}

    @cached_property
    def fetch(self) -> Manifest:
        """Brought the source."""
        return self._one("fetch")

    @cached_property
    def gate(self) -> Manifest:
        """Gave the verdict."""
        return self._one("gate")

    @property
    def checkpoint(self) -> Reference:
        """The source."""
        return self.fetch.outputs["checkpoint"]

    @cached_property
    def prune(self) -> Manifest:
        """Cut what was judged."""
        return self.makers[self.gate.inputs["variant"]]

    @property
    def variant(self) -> Reference:
        """What was judged."""
        return self.prune.outputs["variant"]

    @cached_property
    def plan(self) -> Manifest:
        """Chose the blocks: `plan` or `search`."""
        return self.makers[self.prune.inputs["plan"]]

    @cached_property
    def heal(self) -> Manifest | None:
        """Fitted new weights for what was judged, if that was asked for."""
        return next((stage for stage in self.of("heal") if stage.inputs["plan"] == self.prune.inputs["plan"]), None)

    @cached_property
    def score(self) -> Manifest:
        """Scored the capture that the plan rests on."""
        return self.makers[self.plan.inputs["similarity"]]

    @cached_property
    def cluster(self) -> Manifest:
        """Clustered the blocks for the plan."""
        return self.makers[self.plan.inputs["clustering"]]

    @cached_property
    def stability(self) -> Reference:
        """How sure the plan is.

        Raises:
            IntegrityError: The run has not made that.
        """
        if "stability" in self.plan.outputs:
            return self.plan.outputs["stability"]
        asked = (self.score.inputs["windows"], self.plan.inputs["count"])
        found = [one for one in self.of("resample") if (one.inputs.get("windows"), one.inputs.get("count")) == asked]
        if not found:
            raise _broken("its plan was not resampled")
        return found[0].outputs["stability"]

    @cached_property
    def captures(self) -> dict[str, list[Manifest]]:
        """Shards of each capture, in their order, by the windows that they are of."""
        found: dict[str, list[Manifest]] = {}
        for stage in sorted(self.of("capture"), key=lambda stage: int(stage.inputs["first"])):
            found.setdefault(stage.inputs["windows"], []).append(stage)
        return found

    @cached_property
    def evaluations(self) -> dict[str, Manifest]:
        """What measured the source and what was judged, by role."""
        models = {self.checkpoint.sha256: "dense", self.variant.sha256: "pruned"}
        found = {
            f"{models[stage.inputs['checkpoint']]}{suffix}": stage
            for kind, suffix in _MEASURES.items()
            for stage in self.of(kind)
            if stage.inputs["checkpoint"] in models
        }
        timed = [stage for stage in self.of("speed") if stage.inputs["variant"] == self.variant.sha256]
        return found | ({"speed": timed[0]} if timed else {})

    @property
    def expert_loads(self) -> dict[str, Reference]:
        """What routers chose while perplexity was measured, by role; nothing for a model without experts."""
        return {
            f"{role}_expert_load": stage.outputs["expert_load"]
            for role, stage in self.evaluations.items()
            if "expert_load" in stage.outputs
        }

    @cached_property
    def windows(self) -> dict[str, Manifest]:
        """What cut the windows, by use; those of mixtures that were not chosen are left out."""
        captured = self.makers[self.score.inputs["windows"][0]].inputs["windows"]
        uses = {captured: "calibration", self.evaluations["dense"].inputs["windows"]: "evaluation"}
        taken = {stage.inputs["windows"] for stage in (self.plan, self.heal) if stage and "windows" in stage.inputs}
        taken |= {stage.inputs["windows"] for stage in self.of("look")}
        found = {}
        for stage in self.of("windows"):
            sha256 = stage.outputs["windows"].sha256
            use = uses.get(sha256) or (stage.inputs.get("use") if sha256 in taken else None)
            if use:
                found[str(use)] = stage
        return found

    @property
    def roles(self) -> dict[str, Reference]:
        """What the run came to, by its role, in the order in which it was made."""
        of_looks = {"frontier": "frontier_windows", "mixture": "mixture_windows"}
        return {
            **{of_looks.get(use, use): stage.outputs["windows"] for use, stage in self.windows.items()},
            "similarity": self.score.outputs["similarity"],
            "clustering": self.cluster.outputs["clustering"],
            **{name: stage.outputs[name] for name in ("mixtures", "frontier") for stage in self.of(name)},
            "plan": self.plan.outputs["plan"],
            "stability": self.stability,
            **(dict(self.heal.outputs) if self.heal else {}),
            **(dict(self.of("questions")[0].outputs) if self.of("questions") else {}),
            **{role: next(iter(stage.outputs.values())) for role, stage in self.evaluations.items()},
            **self.expert_loads,
            "verdict": self.gate.outputs["verdict"],
        }

    def of(self, kind: str) -> list[Manifest]:
        """All stages of a kind."""
        return [stage for stage in self.stages if stage.stage == kind]

    def _one(self, kind: str) -> Manifest:
        found = self.of(kind)
        if len(found) != 1:
            raise _broken(f"it has {len(found)} stages of the kind {kind}, and not one")
        return found[0]


def chain_of(stages: Sequence[Manifest]) -> Chain:
    """The chain of a run's stages.

    Raises:
        IntegrityError: A link is missing, or is none that can be there.
    """
    chain = Chain(tuple(stages))
    fault = next(_faults(chain), None)
    if fault:
        raise _broken(fault)
    return chain


def _faults(chain: Chain) -> Iterator[str]:
    for stage in chain.stages:
        yield from _stage_faults(stage)
    for stage in chain.stages:
        yield from _link_faults(chain, stage)
    yield from _capture_faults(chain)
    yield from _gate_faults(chain)


def _stage_faults(stage: Manifest) -> Iterator[str]:
    kind = KINDS.get(stage.stage)
    if kind is None:
        yield f"there is no stage of the kind {stage.stage}"
        return
    name, _, digest = stage.key.rpartition("-")
    if name.rpartition("-v")[0] != stage.stage or digest != digest_value(stage.inputs):
        yield f"the key of {stage.stage} is not that of its inputs"
    if not set(kind.makes) <= stage.outputs.keys() <= {*kind.makes, *kind.may_make}:
        yield f"{stage.key} has other outputs than its kind"


def _link_faults(chain: Chain, stage: Manifest) -> Iterator[str]:
    kind = KINDS[stage.stage]
    for name, allowed in {**kind.takes, **kind.may_take}.items():
        taken = stage.inputs.get(name)
        if taken is None and name in kind.may_take:
            continue
        several = taken if isinstance(taken, list) else [taken]
        if not several or not all(isinstance(sha256, str) and _is_made(chain, sha256, allowed) for sha256 in several):
            yield f"the {name} of {stage.key} is nothing that the run has made for it"


def _is_made(chain: Chain, sha256: str, allowed: Iterable[Made]) -> bool:
    maker = chain.makers.get(sha256)
    roles = [role for stage, role in allowed if maker and maker.stage == stage]
    return maker is not None and any(role in maker.outputs and maker.outputs[role].sha256 == sha256 for role in roles)


def _capture_faults(chain: Chain) -> Iterator[str]:
    """What is scored is one capture, and all of it."""
    whole = [[shard.outputs["windows"].sha256 for shard in shards] for shards in chain.captures.values()]
    for kind in ("score", "resample"):
        for stage in chain.of(kind):
            if stage.inputs["windows"] not in whole:
                yield f"{stage.key} does not take all shards of one capture"


def _gate_faults(chain: Chain) -> Iterator[str]:
    judged = chain.gate.inputs.get("evaluations")
    if not isinstance(judged, dict) or not {"dense", "pruned"} <= judged.keys():
        yield "its gate judged no perplexities"
        return
    made = {role: next(iter(stage.outputs.values())).sha256 for role, stage in chain.evaluations.items()}
    for role, sha256 in judged.items():
        if made.get(role) != sha256:
            yield f"its gate judged evaluations ({role}) that are not those of source and variant"
    windows = {stage.inputs["windows"] for role, stage in chain.evaluations.items() if "windows" in stage.inputs}
    if len(windows) > 1:
        yield "source and variant were not measured on the same windows"


def _broken(why: str) -> IntegrityError:
    return IntegrityError(f"the stages do not fit together: {why}", "Recompress its source")
