"""Laws are tried without a time limit for each example: how busy the machine is says nothing of the code."""

from hypothesis import settings

settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")
