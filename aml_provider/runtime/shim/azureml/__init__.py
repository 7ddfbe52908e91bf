"""``azureml`` inside a step. A real Azure ML SDK in the image comes first; this package fills what it leaves open.

The shim's folder leads ``PYTHONPATH``, so this file always runs; it then lets the real SDK's folders, found further
down the path, win for every module they have.
"""

from __future__ import annotations

import os
import sys

from aml_runtime.azureml_path import install, real_folders  # type: ignore[import-not-found]

_own = os.path.dirname(os.path.abspath(__file__))
_real = real_folders(_own, sys.path)
__path__ = [*_real, _own]
install(real=bool(_real))
