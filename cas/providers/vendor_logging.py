"""Keeps prompts out of logs: at the level DEBUG the vendors' SDKs write whole requests."""

import logging


def never_log_requests(*logger_names: str) -> None:
    """Lifts the named loggers to INFO at least, whatever the process's level or a vendor's variable says."""
    for name in logger_names:
        logger = logging.getLogger(name)
        logger.setLevel(max(logger.level, logging.INFO))
