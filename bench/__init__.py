"""What AgentFlow costs, measured side by side in one run: `python -m bench`; the last line is JSON."""
