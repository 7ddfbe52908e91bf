"""Names of the SDK that a script may import in a step but not use there: importing works, using raises a sentence."""

from __future__ import annotations

from .exceptions import NotAvailableInStepError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

_ADVICE = {
    "Workspace": "inside a step, Run.get_context().experiment.workspace tells the workspace's name.",
    "Dataset": "give the dataset to the step as an input and read the path in Run.get_context().input_datasets[name].",
    "FileDatasetFactory": "give the dataset to the step as an input: Run.get_context().input_datasets[name] has it.",
    "TabularDatasetFactory": "give the dataset to the step as an input: Run.get_context().input_datasets[name] has it.",
    "Datastore": "give the data to the step as an input, or declare an output: the step then gets its path.",
    "Model": (
        "register with Run.get_context().register_model; to use a model, give its folder to the step as an input, or "
        "name the folder of models in the environment variable AZUREML_MODEL_DIR and call Model.get_model_path."
    ),
    "Keyvault": "give the secret to the step as an environment variable.",
    "Run": "Run.get_context() gives the run of this step.",
}
_GENERAL = "do this in the file that builds the pipeline, and give the result to the step as an argument or an input."


def unavailable(what: str, advice: str | None = None) -> NotAvailableInStepError:
    """The exception for ``what``, with what to do instead."""
    owner = what.split(".", maxsplit=1)[0].split("(", maxsplit=1)[0]
    return NotAvailableInStepError(f"{what} is not available inside a step: {advice or _ADVICE.get(owner, _GENERAL)}")


class Unavailable(type):
    """Classes that can be imported, named in annotations and in ``isinstance``, and that say so when used."""

    def __call__(cls, *args: Any, **kwargs: Any) -> NoReturn:
        raise unavailable(f"{cls.__name__}(...)")

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)  # inspection by tools: a plain "no" is what they understand
        raise unavailable(f"{cls.__name__}.{name}")


def placeholder(name: str, module: str) -> Any:
    """What stands for ``name`` of ``module``: a class for a class's name, else a function. Of ``Model`` some works."""
    if name.startswith("__"):
        raise AttributeError(f"module {module!r} has no attribute {name!r}")
    if name == "Model":
        from .model import Model

        return Model
    if name.lstrip("_")[:1].isupper():
        # An ``except`` that names it is looked at when something else is raised, which is to go on.
        bases = (Exception,) if name.endswith(("Exception", "Error")) else ()
        return Unavailable(name, bases, {"__module__": module, "__doc__": "Not available inside a step."})

    def function(*args: Any, **kwargs: Any) -> NoReturn:
        raise unavailable(f"{module}.{name}(...)")

    function.__name__ = name
    return function
