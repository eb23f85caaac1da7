"""How far the limits of code may go; apart from what runs it, so that the compiler can know them."""

FEWEST_FUEL, MOST_FUEL = 1_000_000, 1_000_000_000_000
LEAST_MEMORY_BYTES, MOST_MEMORY_BYTES = 64 * 1024, 1024 * 1024 * 1024
LEAST_WALL_SECONDS, MOST_WALL_SECONDS = 0.05, 300.0
LEAST_OUTPUT_BYTES, MOST_OUTPUT_BYTES = 1, 16 * 1024 * 1024
#: Of an output, with those inside of lists and objects: each costs every reader far more than its bytes.
MOST_OUTPUT_VALUES = 200_000
MOST_MODULE_BYTES = 8 * 1024 * 1024
MOST_SOURCE_CHARACTERS = 256 * 1024
