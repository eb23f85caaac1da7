"""Built-in tools: what a `tool` node can name."""
