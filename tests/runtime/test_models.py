"""Models inside a step: found where they were put, registered under names that a model can have."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import Step

MakeStep = Callable[..., Step]


def put(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    return root


@pytest.mark.parametrize(
    ("files", "folder", "ask", "found"),
    [
        (["digits/2/model.pkl", "digits/10/model.pkl"], "", "'digits'", "digits/10/model.pkl"),
        (["digits/2/model.pkl", "digits/10/model.pkl"], "", "'digits', version=2", "digits/2/model.pkl"),
        (["digits/1/net/weights", "other/1/x"], "", "'digits', 1", "digits/1/net"),
        (["digits/3/a", "digits/3/b"], "", "'digits'", "digits/3"),
        (["digits/3/model.pkl"], "digits/3", "'digits'", "digits/3/model.pkl"),
        (["model.pkl"], "", "'model.pkl'", "model.pkl"),
        (["net/weights"], "", "'net'", "net"),
    ],
)
def test_a_model_is_found_where_it_was_put(
    step: MakeStep, tmp_path: Path, files: list[str], folder: str, ask: str, found: str
) -> None:
    root = put(tmp_path / "models", *files)
    job = step(script=f"from azureml.core.model import Model\nprint('path', Model.get_model_path({ask}))")
    job.job["environment"] = {"AZUREML_MODEL_DIR": str(root / folder)}
    assert job.run().exit_code == 0, job.log.decode()
    assert f"path {root / found}\n" in job.log.decode()


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        ("'none'", "There is no model none in "),
        ("'digits', 7", "There is no model digits, version 7, in "),
        ("'digits', 'x'", "a version is a number, not 'x'"),
        ("None", "the name of a model is text, not None"),
    ],
)
def test_a_model_that_is_not_there_is_said(step: MakeStep, tmp_path: Path, ask: str, words: str) -> None:
    root = put(tmp_path / "models", "digits/2/model.pkl")
    job = step(script=f"from azureml.core.model import Model\nModel.get_model_path({ask})")
    job.job["environment"] = {"AZUREML_MODEL_DIR": str(root)}
    assert job.run().exit_code == 1
    assert words in job.log.decode()


def test_frameworks_have_names(step: MakeStep) -> None:
    job = step(
        script="""
        from azureml.core import Model
        from azureml.core.model import Model as Same
        assert Model is Same
        print(Model.Framework.SCIKITLEARN)
        """
    ).run()
    assert job.exit_code == 0, job.log.decode()
    assert b"ScikitLearn" in job.log


def test_what_is_registered_is_recorded(step: MakeStep) -> None:
    job = step(
        script="""
        import os
        from azureml.core import Run
        os.makedirs("outputs/net")
        open("outputs/net/a", "w").close()
        class Registered: id = "numbers:3"
        Run.get_context().register_model(
            "digits", "outputs/net", tags={"a": 1}, model_framework="Onnx", model_framework_version=1.2,
            datasets=[("training data", Registered()), ("test data", "/a/path")], sample_input_dataset=Registered())
        """
    ).run()
    assert job.exit_code == 0, job.log.decode()
    (event,) = [event for event in job.events if event["type"] == "model"]
    assert event["datasets"] == [["training data", "numbers:3"]]
    assert (event["sample_input"], event["sample_output"]) == ("numbers:3", None)
    assert (event["framework"], event["framework_version"], event["tags"]) == ("Onnx", "1.2", {"a": "1"})
    assert b"'/a/path' is no registered dataset" in job.log


@pytest.mark.parametrize(
    ("call", "words"),
    [
        ("'a/b', 'outputs/m'", "the model's name is 'a/b', but must consist of letters"),
        ("'m', 'outputs/m', model_framework_version='1'", "given without model_framework"),
        ("'m', 'outputs/m', resource_configuration=1", "leave it out: nothing deploys the model"),
        ("'m', 'outputs/net'", "MLflow cannot give back files with #, % or ? in their names: 50%.bin; rename them"),
        ("'m', 'outputs/none'", 'has no file or folder "outputs/none"'),
    ],
)
def test_a_wrong_registration_is_said_and_not_recorded(step: MakeStep, call: str, words: str) -> None:
    job = step(
        script=f"""
        import os
        from azureml.core import Run
        os.mkdir("outputs/net")
        for name in ("m", "net/50%.bin"):
            open("outputs/" + name, "w").close()
        Run.get_context().register_model({call})
        """
    ).run()
    assert job.exit_code == 1
    assert words in job.log.decode()
    assert not [event for event in job.events if event["type"] == "model"]
