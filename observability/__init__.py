"""What runs did and what it cost: telemetry that every layer emits, and the reading of it."""
