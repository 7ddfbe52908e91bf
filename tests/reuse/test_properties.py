"""Random pipelines and random edits: a step runs exactly when something that it depends on has changed.

What has to run is worked out by a model that looks at no file and knows no digest: a step's result is a function of
what its author declares and of the contents that it reads. The model also says what every step writes, so a step that
is reused wrongly shows in the bytes.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from aml_provider.reuse.plan import Options, Verdict
from aml_provider.sdk.data_reference import DataReference
from aml_provider.sdk.dataset_factory import FileDatasetFactory
from aml_provider.sdk.datastore import Datastore
from aml_provider.sdk.environment import Environment
from aml_provider.sdk.outputs import OutputFileDatasetConfig
from aml_provider.sdk.parameter import PipelineParameter
from aml_provider.sdk.ports import PipelineData
from aml_provider.sdk.runconfig import RunConfiguration
from aml_provider.sdk.steps.command import CommandStep
from aml_provider.sdk.steps.python_script import PythonScriptStep
from aml_provider.sdk.workspace import Workspace
from aml_provider.spec.models import Step as StepSpec

from .driver import STORE, Project, Ran, new_folder

# --- what the steps compute -----------------------------------------------------------------------------------------

# A word behind --note makes no difference to what is written, and neither does a comment.
SCRIPT = """\
# comment {comment}
RULE = {rule}
import hashlib, os, sys
from pathlib import Path
facts, outputs = [RULE], []
for key, value in zip(sys.argv[1::2], sys.argv[2::2]):
    if key == "--in":
        files = [value] if os.path.isfile(value) else sorted(
            os.path.join(folder, name) for folder, _, names in os.walk(value) for name in names)
        facts.append(sorted((f[len(value):], Path(f).read_text()) for f in files))
    elif key == "--out":
        outputs.append(value)
    elif key != "--note":
        facts.append(value)
for number, path in enumerate(outputs):
    digest = hashlib.sha256(repr((number, facts)).encode()).hexdigest()
    if os.path.isdir(path):
        path = os.path.join(path, "part")
    Path(path).write_text(digest)
"""
SOURCES = ("shared", "own1", "own2")
SCRIPTS = ("one.py", "two.py")
PLACES = ("raw/a.csv", "raw/b.csv", "other/c.csv")
VALUES: tuple[Any, ...] = (1, 2, 1.0, "1", True, False, "", "True")


@dataclass(frozen=True)
class Out:
    """An output: v1's ``PipelineData`` (a file) or ``OutputFileDatasetConfig`` (a folder), which may have no name."""

    folder: bool
    name: str | None


@dataclass(frozen=True)
class In:
    """An input.

    :param source: a place in a datastore, or ``(number of a step, number of its output)``.
    :param name: ``None``: the author gives none.
    :param download: copied to the step; else used where it is.
    """

    source: str | tuple[int, int]
    name: str | None
    download: bool = False


@dataclass
class Script:
    """One of the files of a source directory."""

    comment: int = 0
    rule: int = 0
    executable: bool = False

    @property
    def text(self) -> str:
        return SCRIPT.format(comment=self.comment, rule=self.rule)


@dataclass
class Step:
    """What an author writes about a step."""

    number: int
    name: str
    command: bool
    source: str
    script: str
    words: list[str] = field(default_factory=list)
    parameters: list[str] = field(default_factory=list)
    params: dict[str, str] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)
    inputs: list[In] = field(default_factory=list)
    outputs: list[Out] = field(default_factory=list)
    after: set[int] = field(default_factory=set)
    version: str | None = None
    allow_reuse: bool = True


Content = Any


class World:
    """Everything that counts, and what has been computed: the model."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.scripts = {(source, script): Script() for source in SOURCES for script in SCRIPTS}
        self.extra: dict[str, dict[str, str]] = {source: {} for source in SOURCES}
        self.data = {place: f"data of {place}" for place in PLACES}
        self.parameters: dict[str, Any] = {"p": 1, "q": "x"}
        self.experiment = "exp"
        #: What has been computed, and where its outputs are.
        self.known: dict[str, list[Path]] = {}

    def by_number(self, number: int) -> Step:
        return next(s for s in self.steps if s.number == number)

    # --- what a step's result depends on ---------------------------------------------------------------------

    def code(self, step: Step) -> list[Any]:
        files = {
            script: (s.text, s.executable) for (source, script), s in self.scripts.items() if source == step.source
        }
        return sorted({**files, **{name: (text, False) for name, text in self.extra[step.source].items()}}.items())

    def read(self, source: str | tuple[int, int], written: dict[int, list[Content]]) -> Content:
        """What is at an input: a file's content, or those of a folder's files by name."""
        if not isinstance(source, str):
            return written[source[0]][source[1]]
        if source in self.data:
            return self.data[source]
        return {p[len(source) + 1 :]: text for p, text in self.data.items() if p.startswith(f"{source}/")}

    def seen(self, source: str | tuple[int, int]) -> str | None:
        """The name that a single file is seen under, where somebody chose it."""
        if isinstance(source, str):
            return source.rpartition("/")[2]
        return self.by_number(source[0]).outputs[source[1]].name

    def name_of(self, item: In) -> str | None:
        """The name that an input has, where somebody chose it."""
        if item.name is not None or isinstance(item.source, str):
            return item.name
        return self.by_number(item.source[0]).outputs[item.source[1]].name

    def key(self, step: Step, written: dict[int, list[Content]]) -> str:
        """Stands for everything that could change the step's result."""
        unnamed = 0
        inputs = {}
        for item in step.inputs:
            name = self.name_of(item)
            if name is None:
                name, unnamed = f"unnamed {unnamed}", unnamed + 1
            content = self.read(item.source, written)
            single = self.seen(item.source) if isinstance(content, str) else None
            kind = "dataset" if self.is_dataset(item) else "reference"
            inputs[name] = (kind, item.download, single, _sorted(content))
        named = [o.name if o.name is not None else f"unnamed {n}" for n, o in enumerate(step.outputs)]
        values = [(name, self.parameters[name]) for name in step.parameters]
        facts = (
            ("type", step.command, step.version, step.script),
            ("code", self.code(step)),
            # True, 1 and 1.0 are equal to Python, and print differently.
            ("words", step.words, values, sorted(step.params.items()), sorted(step.variables.items())),
            ("inputs", sorted(inputs.items()), [self.name_of(i) for i in step.inputs]),
            ("outputs", [(name, o.folder) for name, o in zip(named, step.outputs, strict=True)]),
        )
        return repr(facts)

    def is_dataset(self, item: In) -> bool:
        if isinstance(item.source, str):
            return item.name is None or item.name.startswith("d")
        return self.by_number(item.source[0]).outputs[item.source[1]].folder

    def writes(self, step: Step, written: dict[int, list[Content]]) -> list[Content]:
        """What the step writes, by the rule of its script."""
        facts: list[Any] = [self.scripts[step.source, step.script].rule]
        facts += [str(self.parameters[name]) for name in step.parameters]
        for item in step.inputs:
            content = self.read(item.source, written)
            files = {"": content} if isinstance(content, str) else {f"/{n}": text for n, text in content.items()}
            facts.append(sorted(files.items()))
        if not step.command:
            facts += [value for _, value in step.params.items()]
        texts = [hashlib.sha256(repr((n, facts)).encode()).hexdigest() for n in range(len(step.outputs))]
        return [{"part": text} if out.folder else text for out, text in zip(step.outputs, texts, strict=True)]

    # --- a run -----------------------------------------------------------------------------------------------

    def expect(self, order: list[str], regenerate: bool) -> tuple[list[str], dict[str, str], dict[int, list[Content]]]:
        """Which steps of a run are computed, in which order; the keys of all; and what each has written.

        :param order: the steps' names in the order in which they start.
        """
        computed, keys = [], {}
        written: dict[int, list[Content]] = {}
        known = set(self.known)
        for name in order:
            step = next(s for s in self.steps if s.name == name)
            keys[name] = self.key(step, written)
            written[step.number] = self.writes(step, written)
            if regenerate or not step.allow_reuse or keys[name] not in known:
                computed.append(name)
                if step.allow_reuse:
                    known.add(keys[name])
        return computed, keys, written

    # --- what an author's file says --------------------------------------------------------------------------

    def author(self, ws: Workspace) -> list[Any]:
        store = Datastore(ws, STORE)
        parameters = {name: PipelineParameter(name, value) for name, value in self.parameters.items()}
        ports: dict[tuple[int, int], Any] = {}
        made: dict[int, Any] = {}
        for step in self.steps:
            for n, out in enumerate(step.outputs):
                ports[step.number, n] = OutputFileDatasetConfig(out.name) if out.folder else PipelineData(str(out.name))
        for step in self.steps:
            inputs = [self._input(item, ports, store) for item in step.inputs]
            outputs = [ports[step.number, n] for n in range(len(step.outputs))]
            words: list[Any] = []
            for word in step.words:
                words += ["--note", word]
            for name in step.parameters:
                words += ["--value", parameters[name]]
            for item in inputs:
                words += ["--in", item]
            for item in outputs:
                words += ["--out", item]
            config = RunConfiguration()
            if step.variables:
                config.environment = Environment(f"of {step.name}")
                config.environment.environment_variables = dict(step.variables)
            options = {
                "name": step.name,
                "source_directory": step.source,
                "compute_target": "local",
                "runconfig": config,
                "inputs": inputs,
                "outputs": outputs,
                "params": dict(step.params),
                "version": step.version,
                "allow_reuse": step.allow_reuse,
            }
            made[step.number] = (
                CommandStep([f"{sys.executable} -S", step.script, *words], **options)
                if step.command
                else PythonScriptStep(step.script, arguments=words, **options)
            )
        for step in self.steps:
            made[step.number].run_after([made[n] for n in sorted(step.after)])
        return list(made.values())

    def _input(self, item: In, ports: dict[tuple[int, int], Any], store: Any) -> Any:
        if not isinstance(item.source, str):
            port = ports[item.source]
            if isinstance(port, PipelineData):
                name = item.name or port.name
                return port.as_download(name) if item.download else port.as_mount(name)
            read = port.as_input(item.name)
            return read.as_download() if item.download else read
        if not self.is_dataset(item):
            mode = "download" if item.download else "mount"
            return DataReference(store, item.name, item.source, mode=mode)
        files = FileDatasetFactory.from_files((store, item.source), validate=False)
        named = files.as_named_input(item.name) if item.name is not None else files
        return named.as_download() if item.download else named.as_mount()


def _sorted(content: Content) -> Content:
    return sorted(content.items()) if isinstance(content, dict) else content


# --- random pipelines -----------------------------------------------------------------------------------------------


@st.composite
def new_steps(draw: st.DrawFn, world: World, number: int) -> Step:
    """A step that may read what those that are there already write."""
    step = Step(
        number=number,
        name=f"step{number}",
        command=draw(st.booleans()) and draw(st.booleans()) and draw(st.booleans()),
        source=draw(st.sampled_from(SOURCES)),
        script=draw(st.sampled_from(SCRIPTS)),
        parameters=draw(st.lists(st.sampled_from(("p", "q")), unique=True)),
        allow_reuse=draw(st.integers(0, 9)) > 0,
    )
    names = (f"x{number}_{n}" for n in range(9))
    for _ in range(draw(st.integers(0, 2))):
        folder = draw(st.booleans())
        unnamed = folder and draw(st.booleans())
        step.outputs.append(Out(folder, None if unnamed else next(names)))
    ports = [(s.number, n) for s in world.steps for n in range(len(s.outputs))]
    for source in draw(st.lists(st.sampled_from([*ports, *ports, "raw", *PLACES]), max_size=3, unique=True)):
        named = f"{draw(st.sampled_from('dr'))}{len(step.inputs)}" if draw(st.booleans()) else None
        step.inputs.append(In(source, named, draw(st.booleans())))
    if world.steps:
        step.after = draw(st.sets(st.sampled_from([s.number for s in world.steps]), max_size=2))
    return step


@st.composite
def worlds(draw: st.DrawFn) -> World:
    world = World()
    for number in range(draw(st.integers(1, 5))):
        world.steps.append(draw(new_steps(world, number)))
    return world


# --- random edits ---------------------------------------------------------------------------------------------------


class Editor:
    """Changes the model and the project in the same way.

    The methods that do not change what a result depends on do not change the model either, but for what it takes to
    write down the same pipeline in other words.
    """

    def __init__(self, world: World, project: Project, data: st.DataObject) -> None:
        self.world = world
        self.project = project
        self.draw = data.draw
        self.count = 100
        for source, script in world.scripts:
            self._write_script(source, script)
        for place, text in world.data.items():
            project.data(place, text)

    def edit(self, *kinds: str) -> str:
        """One edit; its name."""
        name = self.draw(st.sampled_from([n for n in dir(self) if n.startswith(kinds)]))
        getattr(self, name)()
        return name

    def fresh(self) -> int:
        self.count += 1
        return self.count

    def a_step(self) -> Step:
        return self.draw(st.sampled_from(self.world.steps))

    def a_script(self) -> tuple[str, str]:
        return self.draw(st.sampled_from(sorted(self.world.scripts)))

    def _write_script(self, source: str, script: str) -> Path:
        made = self.world.scripts[source, script]
        file = self.project.write(f"{source}/{script}", made.text)
        file.chmod(0o755 if made.executable else 0o644)
        return file

    def _files(self) -> list[Path]:
        roots = [self.project.folder / source for source in SOURCES] + [self.project.store / "raw"]
        return sorted(p for root in roots for p in root.rglob("*") if p.is_file() and "__pycache__" not in p.parts)

    # --- edits that may cause runs ----------------------------------------------------------------------------

    def change_comment(self) -> None:
        source, script = self.a_script()
        self.world.scripts[source, script].comment = self.draw(st.integers(0, 3))
        self._write_script(source, script)

    def change_rule(self) -> None:
        source, script = self.a_script()
        self.world.scripts[source, script].rule = self.draw(st.integers(0, 3))
        self._write_script(source, script)

    def change_executable(self) -> None:
        source, script = self.a_script()
        self.world.scripts[source, script].executable ^= True
        self._write_script(source, script)

    def change_helper_file(self) -> None:
        source = self.draw(st.sampled_from(SOURCES))
        helper = self.world.extra[source]
        if "helper.py" in helper and self.draw(st.booleans()):
            del helper["helper.py"]
            (self.project.folder / source / "helper.py").unlink()
        else:
            helper["helper.py"] = f"X = {self.draw(st.integers(0, 2))}"
            self.project.write(f"{source}/helper.py", helper["helper.py"])

    def change_data(self) -> None:
        place = self.draw(st.sampled_from(PLACES))
        if place in self.world.data:
            self.world.data[place] = f"data {self.draw(st.integers(0, 2))}"
            self.project.data(place, self.world.data[place])

    def change_name_of_data_file(self) -> None:
        """A file that only a folder's readers see."""
        old, new = ("raw/extra1", "raw/extra2") if "raw/extra1" in self.world.data else ("raw/extra2", "raw/extra1")
        if old in self.world.data:
            self.world.data[new] = self.world.data.pop(old)
            (self.project.store / old).rename(self.project.store / new)
        else:
            self.world.data[new] = "extra"
            self.project.data(new, "extra")

    def change_parameter(self) -> None:
        self.world.parameters[self.draw(st.sampled_from(("p", "q")))] = self.draw(st.sampled_from(VALUES))

    def change_word(self) -> None:
        self.a_step().words = self.draw(st.lists(st.sampled_from(("a", "b")), max_size=2))

    def change_params(self) -> None:
        self.a_step().params = self.draw(st.dictionaries(st.sampled_from(("m", "n")), st.sampled_from(("1", "2"))))

    def change_variable(self) -> None:
        self.a_step().variables = self.draw(st.dictionaries(st.sampled_from(("V", "W")), st.sampled_from(("1", "2"))))

    def change_version(self) -> None:
        self.a_step().version = self.draw(st.sampled_from((None, "1", "2")))

    def change_allow_reuse(self) -> None:
        step = self.a_step()
        step.allow_reuse = not step.allow_reuse

    def change_script_of_step(self) -> None:
        step = self.a_step()
        step.source, step.script = self.a_script()

    def change_mode_of_input(self) -> None:
        step = self.a_step()
        if step.inputs:
            n = self.draw(st.integers(0, len(step.inputs) - 1))
            step.inputs[n] = In(step.inputs[n].source, step.inputs[n].name, not step.inputs[n].download)

    def change_name_of_output(self) -> None:
        step = self.a_step()
        for n, out in enumerate(step.outputs):
            if out.name is not None:
                step.outputs[n] = Out(out.folder, f"{out.name.partition('__')[0]}__{self.draw(st.integers(0, 2))}")

    def change_one_step_for_another(self) -> None:
        """A new step at the end; or the last one goes, if nothing needs it."""
        last = self.world.steps[-1]
        if len(self.world.steps) > 1 and not any(
            last.number in {*(i.source[0] for i in s.inputs if not isinstance(i.source, str)), *s.after}
            for s in self.world.steps
        ):
            self.world.steps.remove(last)
        self.world.steps.append(self.draw(new_steps(self.world, self.fresh())))

    def change_earlier_output(self) -> None:
        """Somebody removes a result's output, or writes into it."""
        computed = sorted(key for key, outputs in self.world.known.items() if outputs)
        if not computed:
            return
        key = self.draw(st.sampled_from(computed))
        path = self.draw(st.sampled_from(self.world.known.pop(key)))
        if self.draw(st.booleans()):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        else:
            (path / "part" if path.is_dir() else path).write_text("something else")

    # --- edits that never do --------------------------------------------------------------------------------

    def keep_touched(self) -> None:
        file = self.draw(st.sampled_from(self._files()))
        os.utime(file, (self.draw(st.integers(0, 2_000_000_000)),) * 2)

    def keep_copied(self) -> None:
        file = self.draw(st.sampled_from(self._files()))
        copy = file.with_name("copy of it")
        shutil.copy(file, copy)
        copy.replace(file)

    def keep_moved(self) -> None:
        self.project.move(self.project.folder.parent.parent / f"place{self.fresh()}" / "project")
        old = self.project.folder.parent.parent
        for outputs in self.world.known.values():
            outputs[:] = [self.project.folder / Path(*p.relative_to(old).parts[2:]) for p in outputs]

    def keep_renamed_step(self) -> None:
        self.a_step().name = f"renamed{self.fresh()}"

    def keep_other_experiment(self) -> None:
        self.world.experiment = f"exp{self.fresh()}"

    def keep_other_order_of_steps(self) -> None:
        self.world.steps = list(self.draw(st.permutations(self.world.steps)))

    def keep_other_order_in_dictionaries(self) -> None:
        step = self.a_step()
        step.variables = dict(reversed(step.variables.items()))
        self.world.parameters = dict(reversed(self.world.parameters.items()))

    def keep_other_waiting(self) -> None:
        """Steps wait for each other, or do not, without exchanging data."""
        step = self.a_step()
        step.after = set() if step.after else {s.number for s in self._not_behind(step)}

    def _not_behind(self, step: Step) -> Iterator[Step]:
        behind = {step.number}
        while True:
            more = {
                s.number
                for s in self.world.steps
                if behind & {*s.after, *(i.source[0] for i in s.inputs if not isinstance(i.source, str))}
            } - behind
            if not more:
                return (s for s in self.world.steps if s.number not in behind)
            behind |= more

    def keep_bytecode_and_checkouts(self) -> None:
        source = self.draw(st.sampled_from(SOURCES))
        for name in ("__pycache__/one.pyc", ".git/HEAD", "pkg/__pycache__/x.pyc", ".ipynb_checkpoints/one.py"):
            self.project.write(f"{source}/{name}", str(self.fresh()))
        (self.project.folder / source / f"empty{self.fresh()}").mkdir()

    def keep_ignored(self) -> None:
        source = self.draw(st.sampled_from(SOURCES))
        self.project.write(f"{source}/.amlignore", "notes/\n*.log\n")
        self.project.write(f"{source}/notes/today.md", str(self.fresh()))
        self.project.write(f"{source}/deep/er/run.log", str(self.fresh()))


# --- the property ---------------------------------------------------------------------------------------------------


def check_run(world: World, project: Project, options: Options, *, real: bool = False) -> Ran:
    """Run the pipeline, and compare what happened with the model."""
    binding = project.build(world.author, world.experiment)
    expected, keys, written = world.expect([s.name for s in binding.spec.steps], options.regenerate)
    ran = project.run(binding, options=options, real=real)
    assert ran.computed == expected, ran.why
    assert sorted([*ran.computed, *ran.reused]) == sorted(s.name for s in world.steps)
    by_name = {s.name: s for s in binding.spec.steps}
    for step in world.steps:
        for number, content in enumerate(written[step.number]):
            path = ran.outputs[step.name][by_name[step.name].outputs[number].name]
            found: Any = {p.name: p.read_text() for p in path.iterdir()} if path.is_dir() else path.read_text()
            assert found == content, (step.name, number)
        if step.name in ran.computed and step.allow_reuse:
            world.known[keys[step.name]] = list(ran.outputs[step.name].values())
    _check_plan(ran, by_name, keys)
    return ran


def _check_plan(ran: Ran, specs: dict[str, StepSpec], keys: dict[str, str]) -> None:
    """What the head task promised is what happened."""
    for name, spec in specs.items():
        decision = ran.plan.decisions[spec.key]
        if decision.verdict is Verdict.REUSE:
            assert ran.reused[name] == "head"
        elif decision.verdict is Verdict.RUN:
            # Unless a step before it in the same run was to compute the very same.
            assert name in ran.computed or keys[name] in [keys[other] for other in ran.computed]
        else:
            waits = [ran.plan.decisions[up].verdict for up in spec.upstream]
            assert any(verdict is not Verdict.REUSE for verdict in waits)


@settings(max_examples=50, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.data())
def test_after_any_edits_exactly_those_steps_run_whose_ingredients_have_changed(data: st.DataObject) -> None:
    with new_folder() as folder:
        world = data.draw(worlds())
        editor = Editor(world, Project(folder / "start/project"), data)
        check_run(world, editor.project, Options())
        for _ in range(data.draw(st.integers(1, 4))):
            edits = [editor.edit("change_", "keep_") for _ in range(data.draw(st.integers(1, 3)))]
            regenerate = data.draw(st.integers(0, 11)) == 11
            note(f"edits {edits}, regenerate {regenerate}")
            check_run(world, editor.project, Options(regenerate))


@settings(max_examples=30, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.data())
def test_touching_copying_renaming_reordering_and_moving_never_cause_a_run(data: st.DataObject) -> None:
    with new_folder() as folder:
        world = data.draw(worlds())
        for step in world.steps:
            step.allow_reuse = True
        editor = Editor(world, Project(folder / "start/project"), data)
        check_run(world, editor.project, Options())
        note(f"edits {[editor.edit('keep_') for _ in range(data.draw(st.integers(1, 8)))]}")
        ran = check_run(world, editor.project, Options())
        assert ran.computed == []
        assert set(ran.reused.values()) == {"head"}


@settings(max_examples=3, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.data())
def test_the_same_with_the_command_that_a_worker_starts(data: st.DataObject) -> None:
    with new_folder() as folder:
        world = data.draw(worlds())
        editor = Editor(world, Project(folder / "start/project"), data)
        check_run(world, editor.project, Options(), real=True)
        editor.edit("change_")
        check_run(world, editor.project, Options(), real=True)
