"""The document-analysis example: in the installed package, or in `examples/` of a checkout."""

import shutil
from pathlib import Path

from agentflow.errors import ConfigurationError

_NAME = "document_analysis"
SAMPLE_DOCUMENT = "sample.pdf"


def example_folder() -> Path:
    """Where the example's workflow, prompts and document are; raises ConfigurationError when they are nowhere."""
    here = Path(__file__).resolve().parent
    for folder in (here / _NAME, here.parent / "examples" / _NAME):
        if (folder / "workflow.yaml").is_file():
            return folder
    raise ConfigurationError("the example's files are missing from this installation; install the package anew")


def copy_sample_document(folder: Path) -> Path:
    """Makes `folder` with the example's document in it, unless it is there; returns the folder."""
    if not folder.is_dir():
        folder.mkdir(mode=0o700, parents=True)
        shutil.copyfile(example_folder() / SAMPLE_DOCUMENT, folder / SAMPLE_DOCUMENT)
    return folder
