"""Folders of this machine, and what is said in their place where others read it."""

from __future__ import annotations

import sys
from pathlib import Path

from aml_provider.runs.binding import PipelineBinding


def folder_words(binding: PipelineBinding) -> dict[str, str]:
    """A word for each folder on this machine that a pipeline's messages may name: ``{folder: word}``."""
    workspace = binding.workspace
    words = {Path(sys.prefix): "<python>", workspace.folder: "<workspace>", workspace.state: "<state>"}
    words |= {
        config.local_root: f"<{name}>" for name, config in workspace.datastores.items() if config.local_root is not None
    }
    words |= {binding.folder: "<pipeline folder>", binding.store.root: "<run store>"}
    return {str(spelled): word for folder, word in words.items() for spelled in (folder.resolve(), folder.absolute())}
