"""Whatever a script calls its metrics, MLflow accepts the keys, and different names keep different keys."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from mlflow.utils.validation import _validate_metric_name, _validate_model_name, _validate_tag

from aml_provider.tracking import names


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=300), max_size=6, unique=True))
def test_every_name_becomes_a_key_of_its_own(written: list[str]) -> None:
    taken: dict[str, str] = {}
    keys = [names.key(name, taken) for name in written]
    for key in keys:
        _validate_metric_name(key)
        assert len(key) <= names.MAX_KEY
    assert len(set(keys)) == len(written)
    assert [names.key(name, taken) for name in written] == keys


def test_a_legal_name_is_kept() -> None:
    assert names.key("val/acc top-5: x_1.2") == "val/acc top-5: x_1.2"
    assert names.key("größe") == "größe"


@given(st.text(min_size=0, max_size=20000))
def test_long_values_are_cut_visibly(value: str) -> None:
    cut = names.text(value, names.MAX_TAG)
    _validate_tag("key", cut)
    assert cut == value or cut.endswith("…")


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_model_names(name: str) -> None:
    _validate_model_name(names.model_name(name))
