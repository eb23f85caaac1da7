"""README and docs/ are true: what they show exists, compiles and is complete."""
