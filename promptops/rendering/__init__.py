"""The one renderer, and the one place that knows the template engine.

`template_compiler` turns text into a checked program, `renderer` runs it; the rest are its rules.
"""
