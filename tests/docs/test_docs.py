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

from aml_provider.workspace.model import WorkspaceFile

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
    for block in blocks("python", "yaml"):
        if block.page == page and block.file:
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


def commands(program: str) -> set[str]:
    """The sub-commands of a program that the pages use."""
    shown = "\n".join(block.text for block in blocks("bash"))
    shown += "\n".join(span for page in PAGES for span in re.findall(r"`([^`\n]+)`", page.read_text()))
    return set(re.findall(rf"^{program} ([a-z]\w*)", shown, re.MULTILINE))


def test_commands_of_aml_exist(tmp_path: Path) -> None:
    used = commands("aml")
    assert {"run", "spec", "validate", "pools", "reap"} <= used
    for command in sorted(used):
        assert aml(command, "--help", folder=tmp_path).returncode == 0, command


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
