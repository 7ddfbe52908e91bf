"""``python -m aml_runtime``: run the step described by ``$AML_JOB_DIR/job.json``."""

from __future__ import annotations

import sys

from .supervisor import main

if __name__ == "__main__":
    sys.exit(main())
