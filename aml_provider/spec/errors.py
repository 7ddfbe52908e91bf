"""The root of our errors. A message says what is wrong, where, and what to do about it."""

from __future__ import annotations


class AmlError(Exception):
    """Anything this package reports to its user in a sentence: no traceback is needed to understand it."""

    def __init__(self, *args: object) -> None:
        # Not by super(): an exception that is one of another library's as well is made here.
        Exception.__init__(self, *args)


class PipelineError(AmlError, ValueError):
    """A pipeline that cannot be run as it is written; names the step and the object at fault."""


class ParameterError(AmlError, TypeError):
    """A value for a pipeline parameter that does not fit its declared type."""


class UnknownParameterError(AmlError, ValueError):
    """A value for a pipeline parameter that the pipeline does not declare."""


class WorkspaceFileError(AmlError, ValueError):
    """A workspace file that cannot be used; names the file, the line and the key."""


class NotSupportedError(AmlError, NotImplementedError):
    """Something that exists only in Azure's cloud; says what to use instead."""
