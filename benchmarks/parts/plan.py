"""What deciding about a thousand steps takes, all of which have been computed."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from benchmarks import cached
from benchmarks.bucket import CONNECTION, bucket, connection, missing
from benchmarks.measure import BIN, Options, alternate, child, clean_environment, middle, program
from benchmarks.table import Row


def rows(folder: Path, options: Options) -> Iterator[Row]:
    """The plan by itself, and the command that a person types."""
    dags = folder / "dags"
    file = cached.write(dags)
    (dags / "workspace.yaml").write_text("name: bench\n", encoding="utf-8")
    cached.compute_all(file)
    command = (BIN / "aml", "plan", file.name, "--json")
    results = alternate(
        options.runs,
        {
            "plan": partial(child, "plan", str(file), home=folder),
            "command": partial(program, *command, folder=dags, environment=clean_environment(folder)),
        },
    )
    plan, steps = results["plan"], results["plan"][0]["steps"]
    seconds, cpu = middle(plan, "seconds"), middle(plan, "cpu")
    detail = f"all cached, digest cache warm, imports and the building excluded; {seconds / steps * 1000:.2f} ms a step"
    detail += f"; processor time {cpu:.3f} s"
    yield Row(f"plan: {steps} steps on local disk", seconds, "s", 0.1, detail)
    whole = results["command"]
    detail = f"the whole process; processor time {middle(whole, 'cpu'):.3f} s"
    yield Row(f"plan: aml plan --json, {steps} steps", middle(whole, "process"), "s", None, detail)


def far_rows(folder: Path, options: Options) -> Iterator[Row]:
    """The plan by itself, with data and index in a bucket."""
    if reason := missing():
        yield Row("plan: steps on S3", None, "s", None, reason)
        return
    file = cached.write(folder / "dags")
    with bucket() as name:
        file.with_name("workspace.yaml").write_text(
            "name: bench\ndefault_datastore: far\n"
            f"datastores: {{far: {{url: 's3://{name}/lab', conn_id: {CONNECTION}}}}}\n",
            encoding="utf-8",
        )
        run = partial(child, home=folder, environment=connection())
        run("computed", str(file))
        results = alternate(options.runs, {"plan": partial(run, "plan", str(file))})["plan"]
    steps, seconds, cpu = results[0]["steps"], middle(results, "seconds"), middle(results, "cpu")
    detail = f"all cached, records of earlier plans kept here; processor time {cpu:.3f} s"
    yield Row(f"plan: {steps} steps on S3", seconds, "s", 3.0, detail)
