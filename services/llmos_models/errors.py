"""What can be wrong with a model, a file of it, or what somebody wants of the store.

    ModelError              a model cannot be used, or the store could not do it
    ├── FormatError         a file is not what it should be
    │   ├── GgufError       damaged, or no GGUF at all
    │   └── SafetensorsError
    ├── BadAsk              a name, a source or an option is not right
    ├── StoreBusy           another command is changing the store
    ├── NoSpace             the disk is too small
    └── TransferFailed      a file did not arrive, or not whole

The engine turns them into its state, ``llmosctl`` into its messages and exit statuses.
"""

from pathlib import Path


class ModelError(Exception):
    """A failure told in one sentence: ``path`` is the file, ``hint`` what to do next."""

    def __init__(self, what: str, *, path: Path | None = None, hint: str | None = None) -> None:
        super().__init__(f"{path}: {what}" if path else what)
        self.what = what
        self.path = path
        self.hint = hint


class FormatError(ModelError):
    """The file is not what its name says, or of a kind that is never opened."""


class GgufError(FormatError):
    """The file is not a sound GGUF file."""


class SafetensorsError(FormatError):
    """The file is not a sound safetensors file."""


class BadAsk(ModelError):
    """What a person asked for is not right."""


class StoreBusy(ModelError):
    """There is one writer at a time."""


class NoSpace(ModelError):
    """What is wanted does not fit on the disk."""


class TransferFailed(ModelError):
    """A download or a copy did not end well."""
