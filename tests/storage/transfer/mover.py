"""A transfer in a process of its own, which can be killed: ``python mover.py JSON``."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path


def main(text: str) -> None:
    from aml_provider.storage import store_for
    from aml_provider.storage.transfer import Options, Place, azure_end, ends, folder_end, s3_end, sftp_end, transfer
    from aml_provider.workspace.model import DatastoreConfig

    told = json.loads(text)
    if told.get("small_parts"):
        ends.PART_BYTES = azure_end.PART_BYTES = 256 << 10
        s3_end._PART = s3_end.S3End.whole_bytes = 5 << 20
        for end in (azure_end.AzureEnd, folder_end.FolderEnd, sftp_end.SftpEnd):
            end.whole_bytes = 256 << 10
    places = [Place(store_for(DatastoreConfig(**told[side]), side), told[f"{side}_path"]) for side in ("from", "to")]
    print("ready", flush=True)
    summary = transfer(*places, Options(workers=told.get("workers", 8)), state=Path(told["state"]), say=lambda _: None)
    # Not getrusage, which counts the process that has started this one.
    lines = Path("/proc/self/status").read_text().splitlines()
    peak = next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM:"))
    print(json.dumps({**summary.as_dict(), "peak": peak, "ended": time.time()}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
