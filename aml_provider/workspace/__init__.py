"""The workspace file: which datastores, compute targets and services the names in a pipeline stand for."""
