"""JSON Schema for values of strangers: counted, linear, offline."""
