"""A step's fingerprint: everything that could change its result, and nothing else.

What counts is said in :meth:`Fingerprinter.of`; docs/reuse.md has the same as a table. What does not: names of the
pipeline, experiment, step, run and user, places of code and data, times, compute sizes and pools.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any

from blake3 import blake3

from aml_provider.datasets.resolving import dataset_of
from aml_provider.reuse.canonical import check_keys, digest
from aml_provider.reuse.contents import Contents
from aml_provider.reuse.environments import EnvironmentIdentity, local_identity
from aml_provider.reuse.errors import UnknownIngredientError
from aml_provider.reuse.locks import EnvironmentLocks
from aml_provider.reuse.packages import without_credentials
from aml_provider.reuse.sources import Code, Sources
from aml_provider.runs.binding import PipelineBinding, StepRun
from aml_provider.runs.sources import PLACES, only_says_where
from aml_provider.spec.models import (
    Argument,
    Command,
    Concat,
    EnvironmentSpec,
    InputRef,
    ParameterRef,
    ParameterSource,
    Step,
    StepInput,
    StepOutput,
    Text,
    Transfer,
)
from aml_provider.workspace.model import ComputeKind


@dataclass(frozen=True)
class Fingerprint:
    """What a step's result depends on.

    :param key: 64 hexadecimal characters; equal exactly when ``parts`` are equal.
    :param parts: the ingredients, as JSON.
    :param details: what explains a difference to a person and is no part of the key: names of files and parameters.
    :param files: the snapshot's files, name -> digest; kept apart because steps share them.
    :param image: the image to start so that what runs is what was fingerprinted; ``None``: as written.
    :param notes: what a reader of the plan should know.
    """

    key: str
    parts: dict[str, Any]
    details: dict[str, Any] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    image: str | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Surroundings:
    """What a step finds where it runs.

    :param digest: of the environment's identity.
    :param variables: digests, because a value may be a secret.
    """

    environment: EnvironmentIdentity
    digest: str
    variables: dict[str, str] = field(default_factory=dict)


_NOWHERE = _Surroundings(EnvironmentIdentity(True, {}), digest({}))


class Fingerprinter:
    """Makes fingerprints of a pipeline's steps from things as they are now; nothing is looked at twice.

    :param contents: identities of data.
    """

    def __init__(self, binding: PipelineBinding, contents: Contents) -> None:
        self._binding = binding
        self._contents = contents
        self._sources = Sources(contents.cache)
        self._locks = EnvironmentLocks.of(binding)
        self._surroundings: dict[str, _Surroundings] = {}
        # The same by the object, which many steps share; that it is kept here keeps its id its own.
        self._seen: dict[tuple[str | None, int], tuple[EnvironmentSpec | None, _Surroundings]] = {}
        self._directories: dict[str | None, Path | None] = {}

    def of(self, run: StepRun) -> Fingerprint:
        """The fingerprint of a step in a run.

        :raises UnknownIngredientError: one of its ingredients cannot be known.
        :raises StepError: its source directory is too big.
        """
        step = run.step
        include = self._binding.reuse_of(step).include
        code = self._code(step, include)
        surroundings = self._surroundings_of(step)
        environment = surroundings.environment
        words = _Words(run)
        reads, writes = words.reads, words.writes
        parts: dict[str, Any] = {
            "step": {"type": step.type, "version": step.version},
            "code": code.digest if code else None,
            "command": words.command(),
            "params": {n: words.argument(a) for n, a in step.parameters.items()},
            "runconfig": {n: words.argument(r) for n, r in step.runconfig_parameters.items()},
            "environment": environment.identity,
            "variables": surroundings.variables,
            "inputs": {reads[i.name]: [*_declared_input(run, i), self._contents.of_input(run, i)] for i in step.inputs},
            "outputs": {writes[o.name]: _declared_output(o) for o in step.outputs},
        }
        details = {
            "parameters": words.used,
            "source_directory": step.source_directory,
            "include": list(include),
            "unnamed_outputs": [o.name for o in step.outputs if o.generated],
        }
        if len(parts["inputs"]) < len(step.inputs) or len(parts["outputs"]) < len(step.outputs):
            raise UnknownIngredientError("two of its inputs, or two of its outputs, have one name")
        notes = (environment.note,) if environment.note else ()
        # An environment may have hundreds of packages, and many steps have the same: it is spelled once.
        # Of all keys in it, only those in parameter values are not known to be text, and those have been looked at.
        key = digest({**parts, "environment": surroundings.digest}, checked=True)
        return Fingerprint(key, parts, details, code.files if code else {}, environment.image, notes)

    def _code(self, step: Step, include: tuple[str, ...]) -> Code | None:
        """The identity of the step's snapshot, ``None`` when it has no code."""
        where = step.source_directory
        if where not in self._directories:
            self._directories[where] = self._binding.source_directory(step)
        directory = self._directories[where]
        if directory is None:
            return None
        return self._sources.of(step, directory, include)

    def _surroundings_of(self, step: Step) -> _Surroundings:
        """What the step finds where it runs.

        :raises UnknownIngredientError: nobody can tell.
        """
        if isinstance(step.action, Transfer):
            for output in step.outputs:
                if self._contents.is_table(output):
                    raise UnknownIngredientError(
                        f"output {output.name!r} is a table of datastore {output.datastore!r}, whose rows nobody "
                        "compares"
                    )
            # Bytes arrive as they are, whatever machine moves them.
            return _NOWHERE
        where = (step.compute_target, id(step.environment))
        if where not in self._seen:
            compute = self._binding.compute_of(step)
            asked = f"{compute.name}\0{step.environment.model_dump_json() if step.environment else ''}"
            if asked not in self._surroundings:
                identity = self._look_at_environment(step)
                self._surroundings[asked] = _Surroundings(identity, digest(identity.identity), self._variables(step))
            self._seen[where] = step.environment, self._surroundings[asked]
        found = self._seen[where][1]
        if not found.environment.known:
            raise UnknownIngredientError(str(found.environment.why))
        return found

    def _look_at_environment(self, step: Step) -> EnvironmentIdentity:
        compute = self._binding.compute_of(step)
        label = compute.settings.reuse_as
        if label is not None:
            return EnvironmentIdentity(True, {"kind": "declared", "name": label, **_asked(step.environment)})
        if compute.kind is ComputeKind.LOCAL:
            return local_identity(step.environment, self._locks, self._contents.cache)
        from aml_provider.reuse.images import image_identity

        image = step.environment.image if step.environment and step.environment.image else compute.image
        if not image:
            raise UnknownIngredientError("there is no image for it")
        found = image_identity(image, compute, trusted=self._binding.workspace.file.reuse.trusted_images)
        if not found.known:
            return found
        # The image is used as it is; what the author asked to be in it is kept beside what is known to be in it.
        asked = {name: value for name, value in _asked(step.environment).items() if name != "image"}
        return replace(found, identity={**found.identity, **asked})

    def _variables(self, step: Step) -> dict[str, str]:
        values = dict(self._binding.compute_of(step).settings.environment)
        if step.environment is not None:
            values.update(step.environment.variables)
        return {name: blake3(value.encode("utf-8", "surrogateescape")).hexdigest(16) for name, value in values.items()}


def _asked(environment: EnvironmentSpec | None) -> dict[str, Any]:
    """What an author wants an environment to be made of, as he wrote it."""
    if environment is None:
        return {}
    python = {
        name: [without_credentials(item) for item in value] if isinstance(value, list) else value
        for name, value in environment.python.model_dump(mode="json", exclude_defaults=True).items()
    }
    asked = {"image": environment.image, "dockerfile": environment.dockerfile, "python": python}
    return {name: value for name, value in asked.items() if value}


# --- the command ------------------------------------------------------------------------------------------------


class _Words:
    """The words of a step's command with the values of one run.

    :ivar used: the parameters that they took, with their values.
    :ivar reads: the step's inputs as they enter, by name, :ivar writes: its outputs.
    """

    def __init__(self, run: StepRun) -> None:
        self._run = run
        self.used: dict[str, Any] = {}
        self.reads = declared_names(run.step.inputs)
        self.writes = declared_names(run.step.outputs)

    def command(self) -> list[Any]:
        """The command itself."""
        action = self._run.step.action
        if isinstance(action, Transfer):
            types = {"source": action.source_type, "destination": action.destination_type}
            return [action.kind, [["text", f"{end} is a {kind}"] for end, kind in types.items() if kind is not None]]
        if isinstance(action, Command):
            return [action.kind, [self.argument(word) for word in action.words]]
        return [action.kind, action.script, [self.argument(word) for word in action.arguments]]

    def argument(self, argument: Argument) -> list[Any]:
        """One word of it, or the value of a parameter."""
        if isinstance(argument, Text):
            return ["text", argument.value]
        if isinstance(argument, ParameterRef):
            return self._parameter(argument.name)
        if isinstance(argument, Concat):
            return ["concat", [self.argument(part) for part in argument.parts]]
        if isinstance(argument, InputRef):
            return ["input", self.reads[argument.name]]
        return ["output", self.writes[argument.name]]

    def _parameter(self, name: str) -> list[Any]:
        run = self._run
        if run.binding.reuse_of(run.step).ignores(name):
            return ["ignored parameter", name]
        if name not in run.parameters:
            raise UnknownIngredientError(f"this run has no value for pipeline parameter {name!r}")
        check_keys(run.parameters[name])
        self.used[name] = run.parameters[name]
        return ["value", run.parameters[name]]


# --- data -------------------------------------------------------------------------------------------------------


def declared_names(among: Sequence[StepInput] | Sequence[StepOutput]) -> dict[str, str]:
    """The names under which inputs or outputs enter, by their own: the same, or a place where nobody gave a name."""
    places = count()
    return {item.name: f"#{next(places)}" if item.generated else item.name for item in among}


def declared_name(among: Sequence[StepInput] | Sequence[StepOutput], item: StepInput | StepOutput) -> str:
    """That of one of them."""
    return declared_names(among)[item.name]


def _declared_input(run: StepRun, item: StepInput) -> list[Any]:
    """What of an input's declaration a script can notice."""
    source = item.source
    # Whatever else an author may say about data counts, unless it only says where the data is: that is looked at.
    said = dataset_of(run, item) if isinstance(source, ParameterSource) else source
    declared = {}
    if said is not None and not only_says_where(said):
        declared = said.model_dump(mode="json", exclude=set(PLACES), exclude_defaults=True)
    return [
        item.mode.value,
        item.path_on_compute,
        None if item.generated else item.environment_variable,
        item.is_dataset,
        declared,
    ]


def _declared_output(output: StepOutput) -> list[Any]:
    """What of an output's declaration a script can notice, and where it is to be kept."""
    return [
        output.datastore,
        output.destination,
        output.directory,
        output.mode.value,
        output.path_on_compute,
        output.overwrite,
        list(output.source_globs),
        None if output.generated else output.environment_variable,
    ]
