"""Built-in functions: small pure steps that a `function` node can name."""
