"""The I/O edge of a run: activities and the interceptors around them; the only place where the domains meet."""
