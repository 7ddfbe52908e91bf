"""Makes surface.json (facts about the v1 classes that are built) from the whole surface.

    python tests/facts/make.py /path/to/sdk-surface.json

The whole surface was read from the published wheels azureml-core 1.61.0.post4, azureml-pipeline-core and -steps 1.62.0
and azureml-widgets 1.62.0: names, parameters, their order and defaults; no code. It also prints which names v1 has and
this package has not, for aml_provider/azureml_compat/known.py.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from aml_provider.azureml_compat.table import MODULES

HERE = Path(__file__).parent
KNOWN = HERE.parents[1] / "aml_provider" / "azureml_compat" / "known.py"

#: Packages of v1 of which nothing is built; the wheels that the facts were read from hold only some of them.
PACKAGES = (
    "train",
    "contrib",
    "automl",
    "interpret",
    "opendatasets",
    "core.image",
    "core.webservice",
    "data.context_managers",
    "dataprep",
    "explain",
    "mlflow",
    "telemetry",
    "data.dataset_error_handling",
    # Not public; files import of them what older versions did not have elsewhere.
    "_",
    "core._",
    "data._",
    "pipeline.core._",
)


def main(path: str) -> None:
    surface = json.loads(Path(path).read_text(encoding="utf-8"))
    facts = {}
    missing = {}
    for module, entries in surface.items():
        built = {name: fact for name, fact in entries.items() if name in MODULES.get(module, {})}
        if built:
            facts[module] = {name: slim(fact) for name, fact in built.items()}
        absent = sorted(name for name in entries if name not in built and not name.startswith("_"))
        if absent:
            missing[module] = absent
    (HERE / "surface.json").write_text(
        json.dumps(facts, separators=(",", ":"), sort_keys=True) + "\n", encoding="utf-8"
    )
    KNOWN.write_text(known(missing), encoding="utf-8")


def slim(fact: dict) -> dict:
    """A fact without what no test reads."""
    methods = {
        name: {"kind": method["kind"], "params": method["params"]} for name, method in fact.get("methods", {}).items()
    }
    kept = {key: fact[key] for key in ("kind", "init", "params") if key in fact}
    if methods:
        kept["methods"] = methods
    return kept


def known(missing: dict[str, list[str]]) -> str:
    lines = [
        '"""Names of Azure ML SDK v1 that this version does not have; made by tests/facts/make.py."""',
        "",
        "from __future__ import annotations",
        "",
        "#: Packages of v1 of which nothing is built.",
        "NOT_BUILT_PACKAGES = (",
        *(f'    "azureml.{name}",' for name in PACKAGES),
        ")",
        "",
        "NOT_BUILT: dict[str, tuple[str, ...]] = {",
    ]
    for module, names in sorted(missing.items()):
        if module.startswith(("azureml.train", "azureml.contrib")):
            continue
        lines.append(f'    "{module}": (')
        lines += [f'        "{name}",' for name in names]
        lines.append("    ),")
    # Modules that the surface lists only by their package.
    steps = (
        "adla automl azurebatch databricks data_transfer estimator hyper_drive kusto module mpi r_script synapse_spark"
    )
    for step in (*(f"{name}_step" for name in steps.split()), "parallel_run_config", "parallel_run_step"):
        lines.append(f'    "azureml.pipeline.steps.{step}": (),')
    lines += ["}", ""]
    return "\n".join(lines)


if __name__ == "__main__":
    main(sys.argv[1])
