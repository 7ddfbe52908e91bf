"""Azure VM size names: how many CPUs, how much memory and how many GPUs each one has."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from aml_provider.spec.errors import PipelineError


@dataclass(frozen=True)
class VmSize:
    """One size.

    :param name: Azure's spelling, without ``Standard_``.
    :param memory_gib: memory in GiB.
    :param gpus: GPU devices; a size with a share of one GPU counts as one.
    """

    name: str
    cpus: int
    memory_gib: float
    gpus: int = 0


# Sizes that follow no rule: "NAME cpus memory_gib gpus".
_IRREGULAR = """
A0 1 0.75 0, A1 1 1.75 0, A2 2 3.5 0, A3 4 7 0, A4 8 14 0, A5 2 14 0, A6 4 28 0, A7 8 56 0, A8 8 56 0, A9 16 112 0,
A10 8 56 0, A11 16 112 0,
A1_v2 1 2 0, A2_v2 2 4 0, A4_v2 4 8 0, A8_v2 8 16 0, A2m_v2 2 16 0, A4m_v2 4 32 0, A8m_v2 8 64 0,
B1ls 1 0.5 0, B1s 1 1 0, B1ms 1 2 0, B2s 2 4 0, B2ms 2 8 0, B4ms 4 16 0, B8ms 8 32 0, B12ms 12 48 0, B16ms 16 64 0,
B20ms 20 80 0,
H8 8 56 0, H16 16 112 0, H8m 8 112 0, H16m 16 224 0, H16r 16 112 0, H16mr 16 224 0,
HB60rs 60 228 0, HB120rs_v2 120 456 0, HB120rs_v3 120 448 0, HB176rs_v4 176 768 0, HC44rs 44 352 0,
HX176rs 176 1408 0,
M8ms 8 218.75 0, M16ms 16 437.5 0, M32ts 32 192 0, M32ls 32 256 0, M32ms 32 875 0, M64ls 64 512 0, M64 64 1024 0,
M64s 64 1024 0, M64m 64 1792 0, M64ms 64 1792 0, M128 128 2048 0, M128s 128 2048 0, M128m 128 3892 0, M128ms 128 3892 0,
NC6 6 56 1, NC12 12 112 2, NC24 24 224 4, NC24r 24 224 4,
NC6s_v2 6 112 1, NC12s_v2 12 224 2, NC24s_v2 24 448 4, NC24rs_v2 24 448 4,
NC6s_v3 6 112 1, NC12s_v3 12 224 2, NC24s_v3 24 448 4, NC24rs_v3 24 448 4,
NC4as_T4_v3 4 28 1, NC8as_T4_v3 8 56 1, NC16as_T4_v3 16 110 1, NC64as_T4_v3 64 440 4,
NC24ads_A100_v4 24 220 1, NC48ads_A100_v4 48 440 2, NC96ads_A100_v4 96 880 4,
NC40ads_H100_v5 40 320 1, NC80adis_H100_v5 80 640 2,
ND6s 6 112 1, ND12s 12 224 2, ND24s 24 448 4, ND24rs 24 448 4, ND40rs_v2 40 672 8, ND40s_v3 40 672 8,
ND96asr_v4 96 900 8, ND96amsr_A100_v4 96 1900 8, ND96isr_H100_v5 96 1900 8, ND96isr_H200_v5 96 1850 8,
NV6 6 56 1, NV12 12 112 2, NV24 24 224 4, NV6s_v2 6 112 1, NV12s_v2 12 224 2, NV24s_v2 24 448 4,
NV12s_v3 12 112 1, NV24s_v3 24 224 2, NV48s_v3 48 448 4,
NV4as_v4 4 14 1, NV8as_v4 8 28 1, NV16as_v4 16 56 1, NV32as_v4 32 112 1,
NV6ads_A10_v5 6 55 1, NV12ads_A10_v5 12 110 1, NV18ads_A10_v5 18 220 1, NV36ads_A10_v5 36 440 1,
NV36adms_A10_v5 36 880 1, NV72ads_A10_v5 72 880 2
"""
_Table = dict[int, tuple[int, float]]
# The first generations number their sizes instead of naming the CPUs: suffix -> (cpus, GiB).
_D_V1: _Table = {1: (1, 3.5), 2: (2, 7), 3: (4, 14), 4: (8, 28), 11: (2, 14), 12: (4, 28), 13: (8, 56), 14: (16, 112)}
_D_V2: _Table = {**_D_V1, 5: (16, 56), 15: (20, 140)}
_G: _Table = {1: (2, 28), 2: (4, 56), 3: (8, 112), 4: (16, 224), 5: (32, 448)}
_NUMBERED: dict[str, _Table] = {"D{}": _D_V1, "DS{}": _D_V1, "D{}_v2": _D_V2, "DS{}_v2": _D_V2, "G{}": _G, "GS{}": _G}
_TO_64 = (2, 4, 8, 16, 32, 48, 64)
_TO_96 = (*_TO_64, 96)
_L = (8, 16, 32, 48, 64, 80)
# Families whose number is the CPU count: (name patterns, CPU counts, GiB per CPU).
_REGULAR: tuple[tuple[tuple[str, ...], tuple[int, ...], float], ...] = (
    (("D{}_v3", "D{}s_v3", "D{}_v4", "D{}s_v4", "D{}d_v4", "D{}ds_v4"), _TO_64, 4),
    (("D{}a_v4", "D{}as_v4", "D{}_v5", "D{}s_v5", "D{}d_v5", "D{}ds_v5", "D{}as_v5", "D{}ads_v5"), _TO_96, 4),
    (("D{}ls_v5", "D{}lds_v5"), _TO_96, 2),
    (("D{}s_v6", "D{}ds_v6", "D{}as_v6", "D{}ads_v6"), _TO_96, 4),
    (("E{}_v3", "E{}s_v3", "E{}_v4", "E{}s_v4", "E{}d_v4", "E{}ds_v4"), (2, 4, 8, 16, 20, 32, 48), 8),
    (("E{}a_v4", "E{}as_v4", "E{}_v5", "E{}s_v5", "E{}d_v5", "E{}ds_v5"), (2, 4, 8, 16, 20, 32, 48, 64), 8),
    (("E{}as_v5", "E{}ads_v5"), (2, 4, 8, 16, 20, 32, 48, 64), 8),
    (("E{}a_v4", "E{}as_v4", "E{}_v5", "E{}s_v5", "E{}d_v5", "E{}ds_v5", "E{}as_v5", "E{}ads_v5"), (96,), 7),
    (("E{}_v3", "E{}s_v3", "E{}i_v3", "E{}is_v3"), (64,), 6.75),
    (("E{}_v4", "E{}s_v4", "E{}d_v4", "E{}ds_v4"), (64,), 7.875),
    (("F{}", "F{}s"), (1, 2, 4, 8, 16), 2),
    (("F{}s_v2",), (2, 4, 8, 16, 32, 48, 64, 72), 2),
    (("L{}s",), (4, 8, 16, 32), 8),
    (("L{}s_v2", "L{}s_v3", "L{}as_v3"), _L, 8),
)


def _all_sizes() -> Iterable[VmSize]:
    for entry in _IRREGULAR.replace("\n", " ").split(","):
        name, cpus, memory, gpus = entry.split()
        yield VmSize(name, int(cpus), float(memory), int(gpus))
    for pattern, table in _NUMBERED.items():
        for number, (count, gib) in table.items():
            yield VmSize(pattern.format(number), count, gib)
    for patterns, counts, per_cpu in _REGULAR:
        for pattern in patterns:
            for count in counts:
                yield VmSize(pattern.format(count), count, count * per_cpu)


@lru_cache(maxsize=1)
def _by_name() -> dict[str, VmSize]:
    return {size.name.lower(): size for size in _all_sizes()}


def vm_size(name: str) -> VmSize:
    """The size with this Azure name.

    :param name: in any letter case, with or without ``Standard_``: ``STANDARD_D2_V2``, ``nc6``.
    :raises PipelineError: no such size is known; names the closest ones.
    """
    sizes = _by_name()
    key = name.strip().lower().removeprefix("standard_").removeprefix("basic_")
    if key in sizes:
        return sizes[key]
    # difflib is imported where it is needed: only an error pays for it.
    from difflib import get_close_matches

    close = [f"Standard_{sizes[match].name}" for match in get_close_matches(key, sizes, n=3, cutoff=0.5)]
    hint = f"; similar names: {', '.join(close)}" if close else ""
    raise PipelineError(
        f"unknown Azure VM size {name!r}{hint}. Use a known name, or give cpus, memory and gpus of the compute target "
        "in workspace.yaml instead of vm_size."
    )
