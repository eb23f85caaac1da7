"""What stands around every step, from outside in: heartbeat, tracing, effect journal, policy, prompt, routing."""
