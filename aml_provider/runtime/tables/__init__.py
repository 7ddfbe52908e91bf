"""Datasets, evaluated: which files they are, and which rows, when somebody asks.

The one part of the runtime that is also used outside steps (by :mod:`aml_provider.datasets`): a dataset has the same
rows in a step, on a worker and in a program, because the same code finds them. pandas and pyarrow are those of whatever
Python this runs in, and are imported when rows are read.
"""
