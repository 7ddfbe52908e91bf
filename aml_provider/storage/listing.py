"""The identity of objects in a store that keeps one for each: an ETag, a version, a checksum. Nothing is downloaded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aml_provider.spec.errors import PipelineError
from aml_provider.storage.digests import BOOKKEEPING, Content, file_identity, tree_digest
from aml_provider.storage.paths import PART_PREFIX

# What the stores behind fsspec call it: S3, Azure Blob, Google Cloud Storage. First what a store computes from the
# content, so that the same object written again keeps its identity.
_MARKS = ("md5Hash", "ETag", "etag", "crc32c", "content_settings", "VersionId", "version_id", "generation")


def listed_content(filesystem: Any, path: str) -> Content | None:
    """Identity of the object, or of all objects below the folder, at ``path``; ``None`` when there is nothing.

    :param filesystem: an fsspec file system.
    :raises PipelineError: the store says nothing by which a change could be seen.
    """
    # What this process has listed before may have changed since.
    filesystem.invalidate_cache()
    found: dict[str, Mapping[str, Any]] = filesystem.find(path, detail=True)
    top = path.strip("/")
    names = {name.strip("/"): info for name, info in found.items()}
    if list(names) == [top]:
        info = names[top]
        return Content(file_identity(_mark(path, info)), True, 1, int(info.get("size") or 0))
    inside = {name[len(top) :].lstrip("/"): info for name, info in names.items()}
    data = {name: info for name, info in inside.items() if _is_data(name)}
    if not data:
        return None
    marks = [(name, _mark(f"{path}/{name}", info)) for name, info in data.items()]
    return Content(tree_digest(marks), False, len(marks), sum(int(info.get("size") or 0) for info in data.values()))


def _is_data(name: str) -> bool:
    """The same that counts in a folder of this machine."""
    parts = name.split("/")
    return parts[0] not in BOOKKEEPING and not any(part.startswith(PART_PREFIX) for part in parts)


def _mark(path: str, info: Mapping[str, Any]) -> str:
    for key in _MARKS:
        value = info.get(key)
        if key == "content_settings" and value is not None:
            md5 = value.get("content_md5")
            value = bytes(md5).hex() if md5 else None
        if value:
            return f"{key.lower()}:{str(value).strip(chr(34))}:{info.get('size')}"
    raise PipelineError(
        f"the store of {path!r} keeps neither an ETag nor a version nor a checksum of its objects, so nobody can see "
        "whether they change; copy the data to a folder, or to a store that keeps one."
    )
