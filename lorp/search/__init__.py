"""Search: what plans cost, found by running the model, and plans that cost less."""
