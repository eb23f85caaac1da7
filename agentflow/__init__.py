"""The kernel: what every other package stands on, and the one package that user programs import."""
