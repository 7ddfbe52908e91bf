"""``aml spec`` and ``aml validate``: what is in a pipeline file, without running any of it."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

from aml_provider.sdk.life import collecting
from aml_provider.sdk.source import PipelineSource
from aml_provider.spec.errors import AmlError, PipelineError
from aml_provider.spec.models import PipelineSpec, Step, StepOutputSource, Transfer
from aml_provider.submission.files import run_file
from aml_provider.workspace.model import ComputeKind
from aml_provider.workspace.resolved import LoadedWorkspace

Found = tuple[PipelineSpec, PipelineSource, LoadedWorkspace]


def collect(file: Path) -> list[Found]:
    """Every pipeline that ``file`` submits or publishes, in order.

    :raises PipelineError: there is none.
    """
    # What the file prints is not our output.
    with contextlib.redirect_stdout(sys.stderr), collecting(file.resolve()) as found:
        code = run_file(file)
    if not found:
        raise PipelineError(nothing_submitted(file, code))
    return found


def nothing_submitted(file: Path, code: int) -> str:
    """What to say of a file that came to its end without a pipeline.

    :param code: the exit code that the file ended itself with.
    """
    if code:
        return f"{file} ended itself with exit code {code} before it submitted a pipeline"
    return (
        f"{file} submits no pipeline: nothing was run. A file runs what it passes to Experiment(ws, name).submit(...) "
        "or Pipeline.submit(name)."
    )


def described(spec: PipelineSpec, workspace: LoadedWorkspace) -> str:
    """A pipeline in words, a line per step."""
    lines = [f"{spec.submit.experiment} (workspace {spec.workspace}): {len(spec.steps)} steps"]
    for parameter in spec.parameters:
        value = spec.submit.parameters.get(parameter.name, parameter.default)
        lines.append(f"  parameter {parameter.name}: {parameter.type.value} = {value!r}")
    lines += [_step_line(spec, step, workspace) for step in spec.steps]
    return "\n".join(lines)


def _step_line(spec: PipelineSpec, step: Step, workspace: LoadedWorkspace) -> str:
    compute = workspace.compute(step.compute_target, {c.name: c for c in spec.compute})
    after = f" after {', '.join(step.upstream)}" if step.upstream else ""
    reads = [i.name for i in step.inputs if not isinstance(i.source, StepOutputSource)]
    data = f" reads {', '.join(reads)}" if reads else ""
    writes = f" writes {', '.join(o.name for o in step.outputs)}" if step.outputs else ""
    return f"  step {step.key} [{step.type}] on {compute.name} ({compute.kind.value}){after}{data}{writes}"


def problems(spec: PipelineSpec, source: PipelineSource, workspace: LoadedWorkspace) -> list[str]:
    """What would stop the pipeline on this workspace, beyond what building it has checked."""
    from aml_provider.reuse.snapshot import check_size, source_files
    from aml_provider.storage.datastores import store_for

    found: list[str] = []
    try:
        store_for(workspace.datastore(spec.default_datastore), spec.default_datastore)
    except AmlError as e:
        found.append(str(e))
    provisioned = {c.name: c for c in spec.compute}
    for step in spec.steps:
        try:
            compute = workspace.compute(step.compute_target, provisioned)
            for name in {o.datastore for o in step.outputs}:
                store_for(workspace.datastore(name), name)
            if step.source_directory is not None:
                directory = (source.folder / step.source_directory).resolve()
                check_size(step.name, directory, source_files(directory))
        except AmlError as e:
            found.append(str(e))
            continue
        if isinstance(step.action, Transfer):
            continue
        image = step.environment.image if step.environment else None
        if compute.kind is not ComputeKind.LOCAL and not (image or compute.image):
            found.append(
                f"step {step.name!r}: compute target {compute.name!r} is of kind {compute.kind.value} and no image is "
                f"set; write {compute.kind.value}: image: in the workspace file"
            )
        config = compute.settings.config_file
        if compute.kind is ComputeKind.KUBERNETES and config and not Path(config).is_file():
            found.append(
                f"step {step.name!r}: config_file {config} of compute target {compute.name!r} does not exist; correct "
                "the path in the workspace file"
            )
    return list(dict.fromkeys(found))
