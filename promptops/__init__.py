"""PromptOps: prompts as immutable versions, deployed by a sticky split, rendered in a sandbox."""
