"""Environments, conda dependencies and run configurations, in memory and as files."""

from __future__ import annotations

from pathlib import Path

import pytest

from aml_provider.sdk.conda import CondaDependencies
from aml_provider.sdk.environment import Environment
from aml_provider.sdk.exceptions import AzureMLException, UserErrorException
from aml_provider.sdk.runconfig import DockerConfiguration, RunConfiguration
from aml_provider.sdk.script_run_config import ScriptRunConfig


def test_conda_dependencies(project: Path) -> None:
    made = CondaDependencies.create(
        pip_packages=["scikit-learn==1.0", "pandas"], conda_packages=["numpy", "python=3.9"], pip_indexurl="https://x/y"
    )
    made.add_pip_package("scikit_learn==1.5")
    made.add_channel("pytorch")
    made.remove_conda_package("numpy")
    made.add_conda_package("scipy")
    assert list(made.pip_packages) == ["azureml-defaults", "pandas", "scikit_learn==1.5"]
    assert list(made.pip_options) == ["--index-url https://x/y"]
    assert list(made.conda_packages) == ["python=3.9", "scipy"]
    assert list(made.conda_channels)[-1] == "pytorch"
    assert made.get_python_version() == "3.9"
    made.save("conda.yml")
    again = CondaDependencies("conda.yml")
    assert again.as_dict() == made.as_dict()
    assert again.serialize_to_string() == made.serialize_to_string()
    assert CondaDependencies.merge_requirements(["a>1", "b", "A<2"]) == ["a>1,<2", "b"]
    (project / "bad.yml").write_text("just text")
    with pytest.raises(UserErrorException, match="no conda environment file"):
        CondaDependencies("bad.yml")


def test_an_environment_comes_back_from_the_registry(ws, project: Path) -> None:
    (project / "requirements.txt").write_text("pandas\n# no\n\nscipy>=1\n")
    made = Environment.from_pip_requirements("my env", "requirements.txt")
    made.environment_variables = {"A": "1"}
    made.docker.base_image = "image:1"
    assert made.register(ws).version == "1"
    assert made.register(ws).version == "1"
    made.docker.base_image = "image:2"
    assert made.register(ws).version == "2"
    newest = Environment.get(ws, "my env")
    assert (newest.version, newest.docker.base_image, newest.environment_variables) == ("2", "image:2", {"A": "1"})
    assert list(newest.python.conda_dependencies.pip_packages) == ["pandas", "scipy>=1"]
    assert Environment.get(ws, "my env", "1").docker.base_image == "image:1"
    assert list(ws.environments) == ["my env"]
    other = newest.clone("other")
    assert (other.name, other.version) == ("other", None)
    newest.save_to_directory("saved")
    loaded = Environment.load_from_directory("saved")
    assert (loaded.name, loaded.docker.base_image) == ("my env", "image:2")


def test_included_requirements_and_circles(project: Path) -> None:
    (project / "a.txt").write_text("-r b.txt\nx\n")
    (project / "b.txt").write_text("y\n")
    made = Environment.from_pip_requirements("e", "a.txt")
    assert list(made.python.conda_dependencies.pip_packages) == ["y", "x"]
    (project / "b.txt").write_text("-r a.txt\n")
    with pytest.raises(UserErrorException, match="includes itself"):
        Environment.from_pip_requirements("e", "a.txt")


@pytest.mark.parametrize("separate", [False, True])
def test_run_configurations_as_files(project: Path, separate: bool) -> None:
    config = RunConfiguration(script="train.py", arguments=["--x", 1])
    config.target = "cpu"
    config.docker = DockerConfiguration(use_docker=True, shm_size="4g")
    config.environment = Environment("env")
    config.environment.python.user_managed_dependencies = True
    config.save(name="mine", separate_environment_yaml=separate)
    assert (project / ".azureml" / "mine.runconfig").is_file()
    again = RunConfiguration.load(".", "mine")
    assert (again.script, again.arguments, again.target) == ("train.py", ["--x", "1"], "cpu")
    assert (again.docker.use_docker, again.docker.shm_size) == (True, "4g")
    assert (again.environment.name, again.environment.python.user_managed_dependencies) == ("env", True)
    RunConfiguration.delete(".", "mine")
    with pytest.raises(AzureMLException, match="does not exist"):
        RunConfiguration.load(".", "mine")


def test_script_run_configurations(ws) -> None:
    config = ScriptRunConfig("src", "train.py", ["--x", 1], compute_target="cpu", environment=Environment("e"))
    assert (config.script, config.arguments, config.run_config.target) == ("train.py", ["--x", 1], "cpu")
    assert config.run_config.environment.name == "e"
    with pytest.raises(ValueError, match="script or command, not both"):
        ScriptRunConfig("src", "train.py", command="ls")
