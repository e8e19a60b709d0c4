"""Looks into a registry that several trials share."""

from mlflow import MlflowClient

from tasks.tracking import EXPERIMENT


def num_runs(tracking_uri: str, name: str) -> int:
    """How many runs a name has, whatever became of them, but for those that were deleted."""
    client = MlflowClient(tracking_uri=tracking_uri)
    experiment = client.get_experiment_by_name(EXPERIMENT)
    assert experiment
    return len(client.search_runs([experiment.experiment_id], f"tags.`lorp.name` = '{name}'"))
