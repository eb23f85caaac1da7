"""Foreign formats as text, tables and JSON, each read in a confined process of its own."""
