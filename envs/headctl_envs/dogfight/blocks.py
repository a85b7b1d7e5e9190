"""The observation in blocks of named features, as the kernels write it: one record at a time.

The fields stand in the order of the names in ``features``; :func:`check` holds both against each other at import. Their
meaning is written there.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import warp as wp

from headctl_envs.dogfight.features import (
    ALLY_FEATURES,
    MISSILE_FEATURES,
    STORE_FEATURES,
)
from headctl_envs.dogfight.warp_struct import struct


@struct
class StoreBlock:
    """Features about what is on board: ``STORE_FEATURES``."""

    missiles: wp.float32
    flares: wp.float32
    lock: wp.float32
    envelope: wp.float32
    missile_wait: wp.float32
    flare_wait: wp.float32
    legal_missile: wp.float32
    legal_flare: wp.float32
    own_missile: wp.float32
    own_missile_time: wp.float32


@struct
class AllyBlock:
    """Features about one wingman: ``ALLY_FEATURES``; ``heading`` is the direction of its velocity."""

    present: wp.float32
    los: wp.vec3
    range_log: wp.float32
    closure: wp.float32
    heading: wp.vec3
    speed_difference: wp.float32
    ally_health: wp.float32


@struct
class MissileBlock:
    """Features about one inbound missile: ``MISSILE_FEATURES``."""

    present: wp.float32
    los: wp.vec3
    range_log: wp.float32
    closure: wp.float32
    time: wp.float32


@struct
class Seen:
    """Views of one observation tensor ``[N, A, D]``: as ``rows`` of numbers, and each kind of block where it stands."""

    rows: wp.array3d[wp.float32]
    stores: wp.array2d[StoreBlock]
    allies: wp.array3d[AllyBlock]
    missiles: wp.array3d[MissileBlock]


def feature_order(block: Any) -> Iterator[str]:
    """Names of the features that a block writes, in order."""
    for name, field in block.vars.items():
        if field.type is wp.float32:
            yield name
        else:
            stem = {"heading": "ally"}.get(name, name)
            yield from (f"{stem}_{axis}" for axis in ("forward", "right", "down"))


def check(block: Any, names: Iterable[str]) -> None:
    """Raises ``TypeError`` where a block does not write these features in this order."""
    if tuple(feature_order(block)) != tuple(names):
        raise TypeError(f"{block.key} writes {tuple(feature_order(block))}, its features are {tuple(names)}")


for _block, _names in (
    (StoreBlock, STORE_FEATURES),
    (AllyBlock, ALLY_FEATURES),
    (MissileBlock, MISSILE_FEATURES),
):
    check(_block, _names)
