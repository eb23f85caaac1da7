"""The document-analysis example: in the installed package, or in `examples/` of a checkout."""

import shutil
from pathlib import Path

from agentflow.errors import ConfigurationError

_NAME = "document_analysis"
SAMPLE_DOCUMENT = "sample.pdf"
#: What the agent example reads; in a checkout it lies beside that example.
SAMPLE_LETTER = "letter.txt"


def example_folder() -> Path:
    """Where the example's workflow, prompts and document are; raises ConfigurationError when they are nowhere."""
    here = Path(__file__).resolve().parent
    for folder in (here / _NAME, here.parent / "examples" / _NAME):
        if (folder / "workflow.yaml").is_file():
            return folder
    raise ConfigurationError("the example's files are missing from this installation; install the package anew")


def copy_sample_documents(folder: Path) -> Path:
    """Makes `folder` with the documents that the examples read in it, unless it is there; returns the folder."""
    if not folder.is_dir():
        folder.mkdir(mode=0o700, parents=True)
        for document in (example_folder() / SAMPLE_DOCUMENT, _letter()):
            shutil.copyfile(document, folder / document.name)
    return folder


def _letter() -> Path:
    installed = example_folder() / SAMPLE_LETTER
    return installed if installed.is_file() else example_folder().parent / "agent" / SAMPLE_LETTER
