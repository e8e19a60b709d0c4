"""What is measured of a variant as written on disk; each evaluation keeps its results item by item."""
