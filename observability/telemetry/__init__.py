"""Emitting: spans, metrics and logs. Imported by every layer above; imports only the kernel."""
