"""The outside world, one thin adapter a stage: object store, model registry, Prefect's cache."""
