"""CEL (https://cel.dev), parsed and evaluated under deterministic bounds of steps and memory."""
