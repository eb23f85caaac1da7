"""Reading: trees, totals and timelines of spans. Pure thinking, without I/O."""
