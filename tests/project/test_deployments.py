"""`prefect.yaml` holds only what Prefect knows, its entrypoints import, and its parameters validate."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect.cli.deploy._models import DeploymentConfig, PrefectYamlModel
from prefect.exceptions import ParameterTypeError
from prefect.flows import Flow, load_flow_from_entrypoint

ROOT = Path(__file__).parents[2]
CONFIG: dict[str, Any] = yaml.safe_load((ROOT / "prefect.yaml").read_text())


def deployments() -> list[dict[str, Any]]:
    return list(CONFIG["deployments"])


def entrypoint(deployment: dict[str, Any]) -> Flow[..., Any]:
    return load_flow_from_entrypoint(str(ROOT / deployment["entrypoint"]))


def known_fields(model: type[Any]) -> set[str]:
    return {field.alias or name for name, field in model.model_fields.items()}


def test_prefect_knows_every_key() -> None:
    PrefectYamlModel.model_validate(CONFIG)
    assert set(CONFIG) <= known_fields(PrefectYamlModel)
    for deployment in deployments():
        assert set(deployment) <= known_fields(DeploymentConfig)


@pytest.mark.parametrize("deployment", deployments(), ids=lambda deployment: deployment["name"])
def test_the_entrypoint_imports_and_the_parameters_validate(deployment: dict[str, Any]) -> None:
    flow = entrypoint(deployment)
    assert flow.validate_parameters(deployment["parameters"])


WRONG: dict[str, list[dict[str, Any]]] = {
    "recompress": [
        {"spec": {"source": "x", **change}}
        for change in ({"removed": 3}, {"pruning": {"remove": "three"}}, {"gate": {"max_perplexity_ratio": -1}})
    ],
    "promote": [
        {"asked": {"name": "m", **change}}
        for change in ({"version": "first"}, {"to": "candidate"}, {"policy": {"max_age": 3}}, {"name": "../other"})
    ],
    "rollback": [{"asked": {"name": "m", **change}} for change in ({"version": 0}, {"to": "latest"}, {"policy": {}})],
    "reconcile": [{"restore": "perhaps"}, {"places": {"store": 3}}],
}


@pytest.mark.parametrize("deployment", deployments(), ids=lambda deployment: deployment["name"])
def test_parameters_that_are_wrong_do_not_validate(deployment: dict[str, Any]) -> None:
    for parameters in WRONG[deployment["name"]]:
        with pytest.raises(ParameterTypeError):
            entrypoint(deployment).validate_parameters(parameters)
