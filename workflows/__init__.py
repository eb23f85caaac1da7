"""Orchestration: documents become plans, plans become Temporal workflows; no I/O of its own."""
