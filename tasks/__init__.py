"""The outside world, one thin adapter a stage: object store, model registry, Prefect's cache."""

import os

# MLflow reads these as it is imported.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
# Seconds, not minutes, until a server that is not there is said to be so.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")
# Seconds, not minutes, for which one request waits for an answer.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")
# libpq would wait for as long as the system does for a database that is not there.
os.environ.setdefault("PGCONNECT_TIMEOUT", "10")
# Threads sleep while they wait for one another, and do not spin: beside anything else that runs, spinning makes a pass
# take up to eight times as long. Read as torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
