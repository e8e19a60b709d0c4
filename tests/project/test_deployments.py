"""`prefect.yaml` holds only what Prefect knows, its entrypoints import, and its parameters validate."""

from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect.cli.deploy._models import PrefectYamlModel
from prefect.client.schemas.objects import ConcurrencyLimitStrategy
from prefect.exceptions import ParameterTypeError
from prefect.flows import Flow, load_flow_from_entrypoint
from prefect.workers.process import ProcessVariables

ROOT = Path(__file__).parents[2]
CONFIG: dict[str, Any] = yaml.safe_load((ROOT / "prefect.yaml").read_text())


def deployments() -> list[dict[str, Any]]:
    return list(CONFIG["deployments"])


def entrypoint(deployment: dict[str, Any]) -> Flow[..., Any]:
    return load_flow_from_entrypoint(deployment["entrypoint"])


def ignored(given: Any, kept: Any, path: str = "") -> Iterator[str]:
    """Keys of a value that are not in what a model has made of it."""
    if isinstance(given, dict):
        for key, value in given.items():
            if key not in kept:
                yield f"{path}.{key}"
            else:
                yield from ignored(value, kept[key], f"{path}.{key}")
    elif isinstance(given, list):
        for index, (one, other) in enumerate(zip(given, kept, strict=True)):
            yield from ignored(one, other, f"{path}[{index}]")


def unknown(config: dict[str, Any]) -> list[str]:
    read = PrefectYamlModel.model_validate(config)
    return list(ignored(config, read.model_dump(by_alias=True, exclude_unset=True)))


def test_prefect_knows_every_key() -> None:
    assert unknown(CONFIG) == []


@pytest.mark.parametrize(
    ("place", "key"),
    [(lambda config: config, "deployment"), (lambda config: config["deployments"][0], "parameter")]
    + [
        (lambda config, part=part: config["deployments"][0][part], "limits")
        for part in ("concurrency_limit", "work_pool")
    ],
)
def test_an_unknown_key_is_found(place: Callable[[dict[str, Any]], dict[str, Any]], key: str) -> None:
    config = deepcopy(CONFIG)
    place(config)[key] = 1
    assert [path.rpartition(".")[2] for path in unknown(config)] == [key]


@pytest.mark.parametrize("deployment", deployments(), ids=lambda deployment: deployment["name"])
def test_the_settings_of_its_runs_are_those_of_a_process(deployment: dict[str, Any]) -> None:
    asked = deployment["work_pool"].get("job_variables", {})
    assert set(asked) <= ProcessVariables.model_fields.keys()
    limit = deployment.get("concurrency_limit", {"collision_strategy": "ENQUEUE"})
    assert limit["collision_strategy"] in set(ConcurrencyLimitStrategy)


@pytest.mark.parametrize("deployment", deployments(), ids=lambda deployment: deployment["name"])
def test_the_entrypoint_imports_and_the_parameters_validate(deployment: dict[str, Any]) -> None:
    flow = entrypoint(deployment)
    assert flow.validate_parameters(deployment["parameters"])
    assert flow.fn.__module__.startswith("flows.")  # by which workers of a cluster know it too


WRONG: dict[str, list[dict[str, Any]]] = {
    "recompress": [
        {"spec": {"source": "x", **change}}
        for change in ({"removed": 3}, {"pruning": {"remove": "three"}}, {"gate": {"max_perplexity_ratio": -1}})
    ],
    "sweep": [
        {"asked": {"source": "x", "remove": [1], **change}}
        for change in ({"remove": []}, {"remove": ["auto"]}, {"method": ["best"]}, {"healing": ["pray"]}, {"name": "m"})
    ],
    "watch": [
        {"asked": {"sources": ["x"], **change}}
        for change in ({"sources": []}, {"recipe": {"source": "y"}}, {"max_attempts": 0}, {"every": 5})
    ],
    "promote": [
        *({"asked": {"name": "m", **change}} for change in ({"version": "first"}, {"to": "latest"}, {"name": "../m"})),
        {"asked": {"name": "m"}, "policy": {"max_age": 3}},
    ],
    "rollback": [{"asked": {"name": "m", **change}} for change in ({"version": 0}, {"to": "latest"}, {"policy": {}})],
    "reconcile": [{"restore": "perhaps"}, {"places": {"store": 3}}],
}


@pytest.mark.parametrize("deployment", deployments(), ids=lambda deployment: deployment["name"])
def test_parameters_that_are_wrong_do_not_validate(deployment: dict[str, Any]) -> None:
    for parameters in WRONG[deployment["name"]]:
        with pytest.raises(ParameterTypeError):
            entrypoint(deployment).validate_parameters(parameters)
