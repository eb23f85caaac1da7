"""Specs, plans, runs and steps: the records of what was asked for, and the journal of what was done."""
