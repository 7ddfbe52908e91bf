"""What runs inside a step: the supervisor, and the ``azureml.core.Run`` of the user's script.

The folder is copied, as the package ``aml_runtime``, to where steps can read it, and runs there alone: standard library
only, Python 3.8 or newer. This file and ``__main__`` stay readable to any Python, even 2.7, so that an interpreter that is
too old can hand over to the shell (see ``launch.sh``); hence no ``__future__`` import here.
"""
