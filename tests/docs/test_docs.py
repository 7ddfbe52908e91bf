"""What the documentation shows is tried: pipelines are built and run, YAML is validated, commands and links exist.

The words after a code block's language say what to do with it. ``file=NAME``: write the block to NAME in a folder that
all blocks of the page share. ``pipeline``: the block is a pipeline file.
"""

from __future__ import annotations

import importlib
import json
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from aml_provider.reuse.contents import Contents
from aml_provider.reuse.fingerprint import Fingerprinter
from aml_provider.runs.binding import PipelineBinding, StepRun
from aml_provider.spec.models import Command, PipelineSpec, Step, SubmitOptions
from aml_provider.workspace.model import WorkspaceFile
from aml_provider.workspace.resolved import LoadedWorkspace
from tests.dag_runs import Airflow

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
AML = Path(sys.executable).with_name("aml")


@dataclass(frozen=True)
class Block:
    """A code block of a page."""

    page: Path
    line: int
    language: str
    words: tuple[str, ...]
    text: str

    @property
    def file(self) -> str | None:
        """The name that the block is saved under."""
        return next((word[5:] for word in self.words if word.startswith("file=")), None)

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"


def blocks(*languages: str) -> list[Block]:
    """The code blocks in these languages, of all pages."""
    found = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for match in FENCE.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            found.append(Block(page, line, match[1], tuple(match[2].split()), match[3]))
    return [block for block in found if block.language in languages]


def write_page(page: Path, folder: Path) -> None:
    """Write the page's named blocks into a folder."""
    for block in blocks("python", "yaml", "csv"):
        if block.page == page and block.file:
            (folder / block.file).parent.mkdir(parents=True, exist_ok=True)
            (folder / block.file).write_text(block.text)


def aml(*arguments: str | Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """Call ``aml`` in a folder."""
    return subprocess.run([AML, *arguments], cwd=folder, capture_output=True, text=True, timeout=300)


@pytest.mark.parametrize("block", blocks("python"), ids=str)
def test_python_compiles(block: Block) -> None:
    compile(block.text, str(block), "exec")


@pytest.mark.parametrize("block", [b for b in blocks("python") if "pipeline" in b.words], ids=str)
def test_a_pipeline_is_valid(block: Block, tmp_path: Path) -> None:
    write_page(block.page, tmp_path)
    for script in re.findall(r'script_name="(.+?)"', block.text):
        (tmp_path / script).touch()
    file = tmp_path / (block.file or "pipeline.py")
    file.write_text(block.text)
    done = aml("validate", file, folder=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_first_pipeline_of_getting_started_runs(tmp_path: Path) -> None:
    write_page(ROOT / "docs" / "getting-started.md", tmp_path)
    done = aml("run", "hello.py", "-p", "who=Ada", "--json", folder=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(done.stdout)
    assert result["state"] == "Finished"
    assert {step["name"]: step["metrics"] for step in result["steps"]} == {"write": {}, "count": {"letters": 8}}


@pytest.mark.parametrize("block", blocks("yaml"), ids=str)
def test_yaml_is_a_workspace_file(block: Block) -> None:
    WorkspaceFile.model_validate(yaml.safe_load(block.text))


def test_the_samples_workspace_file_is_valid() -> None:
    WorkspaceFile.model_validate(yaml.safe_load((ROOT / "dags" / "workspace.yaml").read_text()))


@pytest.mark.airflow
def test_the_hand_written_dag_of_the_page_on_reuse_is_skipped_the_second_time(tmp_path: Path) -> None:
    write_page(ROOT / "docs" / "reuse.md", tmp_path / "dags")
    file = tmp_path / "dags" / "orders_dag.py"
    airflow = Airflow(tmp_path / "airflow")
    try:
        runs = [airflow.run(file), airflow.run(file), airflow.run(file, currency="USD")]
        with (tmp_path / "dags" / "data" / "orders" / "february.csv").open("w") as more:
            more.write("id,amount\n3,8\n")
        runs.append(airflow.run(file))
    finally:
        airflow.close()
    computed = {"look": "success", "compute": "success", "keep": "success", "report": "success"}
    skipped = computed | {"compute": "skipped", "keep": "skipped"}
    assert [run.states for run in runs] == [computed, skipped, computed, computed]
    assert [run.xcoms["report"] for run in runs] == ["42.0 EUR", "42.0 EUR", "42.0 USD", "50.0 EUR"]


def test_the_table_of_what_counts_has_every_part_of_a_key(tmp_path: Path) -> None:
    config = WorkspaceFile.model_validate({"compute": {"local": {"kind": "local", "reuse_as": "anything"}}})
    workspace = LoadedWorkspace(config, None, tmp_path)
    step = Step(key="train", name="train", type="CommandStep", action=Command(words=()))
    spec = PipelineSpec(
        workspace="local",
        default_datastore="workspaceblobstore",
        steps=(step,),
        submit=SubmitOptions(experiment="houses"),
    )
    run = StepRun(PipelineBinding(spec, tmp_path, workspace), step, "houses", "1", {}, lambda key: {})
    parts = Fingerprinter(run.binding, Contents(workspace)).of(run).parts
    section = (ROOT / "docs" / "reuse.md").read_text().split("## What counts\n")[1].split("\n## ")[0]
    assert re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE) == list(parts)


def commands(program: str, words: str = r"[a-z]\w*") -> set[str]:
    """The sub-commands of a program that the pages use."""
    shown = "\n".join(block.text for block in blocks("bash"))
    shown += "\n".join(span for page in PAGES for span in re.findall(r"`([^`\n]+)`", page.read_text()))
    return set(re.findall(rf"^{program} ({words})", shown, re.MULTILINE))


def test_commands_of_aml_exist(tmp_path: Path) -> None:
    used = commands("aml") - {"cache", "env"} | commands("aml", r"(?:cache|env) [a-z]\w*")
    assert {"run", "spec", "validate", "pools", "reap", "plan", "explain", "cache gc", "env refresh"} <= used
    for command in sorted(used):
        assert aml(*command.split(), "--help", folder=tmp_path).returncode == 0, command


def test_targets_of_make_exist() -> None:
    used = commands("make")
    assert {"demo", "test"} <= used
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert used <= targets


def test_the_mapped_names_can_be_imported() -> None:
    page = (ROOT / "docs" / "mapping.md").read_text()
    names = sorted(set(re.findall(r"`(azureml(?:\.\w+)+)`", page)))
    assert len(names) > 20
    for name in names:
        module, _, attribute = name.rpartition(".")
        assert hasattr(importlib.import_module(module), attribute), name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_inside_the_repository_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
