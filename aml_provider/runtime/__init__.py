"""What runs inside a step: the supervisor, and the ``azureml.core.Run`` of the user's script.

The folder is copied, as the package ``aml_runtime``, to where steps can read it, and runs there alone: standard library
only, Python 3.8 or newer. ``launch.sh`` starts it, and does shell jobs itself in images without Python.
"""
