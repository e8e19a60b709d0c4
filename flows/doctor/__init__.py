"""`lorp doctor`: Prefect's side of the checks, and what a person is shown of all."""
