"""``python -m aml_runtime``: run the step described by ``$AML_JOB_DIR/job.json``.

Kept in syntax that every Python reads: only the version check may run in one that is too old.
"""

import sys

if sys.version_info < (3, 8):  # noqa: UP036 - launch.sh checks first; this is for who starts the module by hand
    sys.stderr.write("aml: the step's runtime needs Python 3.8 or newer, this is " + sys.version.split()[0] + "\n")
    sys.exit(125)

from .supervisor import main

if __name__ == "__main__":
    sys.exit(main())
