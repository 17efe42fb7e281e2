"""The models that the engine can answer with, by the name that a request gives."""

from llmos_engine.errors import ModelNotFound
from llmos_models.errors import ModelError
from llmos_models.scan import ADDED, DEFAULT_NAME, Catalogue, ModelFile, Scanner


class ModelStore(Scanner):
    """The model directories, as the engine asks for them."""

    def find(self, name: str | None) -> ModelFile:
        """Return the model of that name; None or ``default`` ask for the default.

        Raises :class:`~llmos_engine.errors.ModelNotFound`, and
        :class:`~llmos_models.errors.ModelError` when there is no default.
        """
        catalogue = self.scan()
        if name is not None and name in catalogue.models:
            return catalogue.models[name]
        if name not in {None, DEFAULT_NAME}:
            raise ModelNotFound(str(name), sorted(catalogue.models))
        if catalogue.default is None:
            raise self._no_default(catalogue)
        return catalogue.models[catalogue.default]

    def _no_default(self, catalogue: Catalogue) -> ModelError:
        if catalogue.faults and not catalogue.models:
            return catalogue.faults[0]
        where = self.directories[-1] if self.directories else ADDED
        if catalogue.models:
            names = ", ".join(sorted(catalogue.models))
            return ModelError(
                f"no model is the default (available: {names}): choose one by "
                f"'llmosctl model default', or link it as {where / 'default.gguf'}"
            )
        return ModelError(
            f"there is no model: add one by 'llmosctl model', or put it at {where / 'default.gguf'}"
        )
