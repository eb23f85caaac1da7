"""A whole AgentFlow on one machine, from wheels alone: PostgreSQL, Temporal, a small model, worker and API."""
