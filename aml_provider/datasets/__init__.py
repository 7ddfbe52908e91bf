"""Datasets outside steps: which files they are, their rows, and whether they still are what was registered.

Rows are evaluated by :mod:`aml_provider.runtime.tables`, as inside steps. pandas and pyarrow are imported when rows are
read.
"""
