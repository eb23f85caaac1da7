"""Code of strangers, run in WebAssembly: it computes JSON from JSON and can reach nothing else."""
