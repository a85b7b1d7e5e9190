"""Memory of the engine: torch tensors, and what Warp sees of them.

Torch owns every buffer; Warp works on views, so nothing is copied between them. A game's seats stand side by side as
records of 4-byte words, and every quantity is a strided view of them.

Shape legend: N games, A seats, E seats per side, M missiles in the air per seat, K choices, D features, W words.
"""

from collections.abc import Mapping
from typing import Any

import torch
import warp as wp
from torch import Tensor

from headctl_envs.dogfight.blocks import AllyBlock, MissileBlock, Seen, StoreBlock
from headctl_envs.dogfight.config import FALLING, PARAMS, PILOTS, REWARD_TERMS, TALLY, WEAPONS, DogfightConfig
from headctl_envs.dogfight.features import (
    ALLY_FEATURES,
    MISSILE_FEATURES,
    STORE_FEATURES,
)
from headctl_envs.dogfight.flight import Motion
from headctl_envs.dogfight.geometry import Sight
from headctl_envs.dogfight.judgement import Results
from headctl_envs.dogfight.kernels import Actions
from headctl_envs.dogfight.maneuvers import KINDS
from headctl_envs.dogfight.world import (
    COUNTS,
    GAME_FIELDS,
    GAME_SIZE,
    MISSILE_SIZE,
    SEAT_FIELDS,
    SEAT_SIZE,
    Arena,
    Counts,
    Game,
    Missile,
    Seat,
    World,
)

WHOLE_NUMBERS = frozenset({"target", "cause", "clock", "episode"})
SEAT_STATE = (
    "motion",
    "view",
    "target",
    "health",
    "rounds",
    "missiles_left",
    "flares",
    "lock_s",
    "missile_wait",
    "flare_wait",
    "zone_s",
    "cause",
)
"""Fields of a seat that outlive a decision; the others are scratch."""
GAME_STATE = ("clock", "episode", "potential")
STRUCTS = {"motion": Motion, "view": Sight, "seats": Seat, "games": Game, "missiles": Missile, "counts": Counts}
VECTORS = {"params": wp.vec3}


class Buffers:
    """Every tensor of an engine, allocated once.

    Args:
        config: The options.
        games: N.
        device: Where the tensors lie.
        width: D.

    Attributes:
        state: What decides how the games go on, by name; ``motion`` is float32 [N, A, 11], ``health`` [N, A] and so on.
        masks: bool [N, A, K] per masked head.
        results: What a step returns.
        actions: One set of action tensors for ``step`` and one per pilot: int64 [N, A] twice and float32 [N, A, 3].
        weight: Shaping weight, float32 [1].
        seed: int32 [1].
        wanted: Of which seats a pilot is asked for actions, bool [N, A].
    """

    def __init__(self, config: DogfightConfig, games: int, device: torch.device, width: int) -> None:
        self._device = device
        seats, team, library = config.num_seats, config.team_size, config.library
        choices = {"maneuver": len(library), "weapon": len(WEAPONS)}
        self._seats = self._zeros(games, seats, SEAT_SIZE)
        self._games = self._zeros(games, GAME_SIZE)
        self.state: dict[str, Tensor] = {
            **{name: _field(self._seats, name, SEAT_FIELDS[name]) for name in SEAT_STATE},
            **{name: _field(self._games, name, GAME_FIELDS[name]) for name in GAME_STATE},
            "missiles": self._zeros(games, seats, config.missiles_in_flight, MISSILE_SIZE),
            "rank": self._zeros(games, seats, team, dtype=torch.int32),
            "mates": self._zeros(games, seats, team, dtype=torch.int32),
            "counts": self._zeros(games, len(COUNTS)),
        }
        self._claim = self._zeros(games, seats, seats)
        self._codes = {
            "kinds": self._numbers([KINDS.index(name) for name in library]),
            "falling": self._numbers([library.index(name) for name in library if name in FALLING]),
        }
        self.masks = {head: self._zeros(games, seats, n, dtype=torch.bool) for head, n in choices.items()}
        self.masks["maneuver"].fill_(True)
        self.masks["weapon"][..., WEAPONS.index("hold")] = True
        self.results = {
            "observation": self._zeros(games, seats, width),
            "final_observation": self._zeros(games, seats, width),
            "reward": self._zeros(games, seats),
            "terms": self._zeros(games, len(REWARD_TERMS)),
            "tally": self._zeros(games, seats, len(TALLY)),
            "terminated": self._zeros(games, seats, dtype=torch.bool),
            "truncated": self._zeros(games, seats, dtype=torch.bool),
            "alive": self._zeros(games, seats, dtype=torch.bool),
            "outcome": self._zeros(games, dtype=torch.int32),
            "ended_by": self._zeros(games, seats, dtype=torch.int32),
        }
        self.actions = {
            name: {
                "maneuver": self._zeros(games, seats, dtype=torch.int64),
                "weapon": self._zeros(games, seats, dtype=torch.int64),
                "params": self._zeros(games, seats, len(PARAMS)),
            }
            for name in ("step", *PILOTS)
        }
        self.weight = self._zeros(1)
        self.seed = self._zeros(1, dtype=torch.int32)
        self.wanted = self._zeros(games, seats, dtype=torch.bool)

    def _zeros(self, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
        return torch.zeros(shape, dtype=dtype, device=self._device)

    def _numbers(self, numbers: list[int]) -> Tensor:
        return torch.tensor(numbers, dtype=torch.int32, device=self._device)

    @property
    def nbytes(self) -> int:
        """Bytes of all tensors that there is one row of per game."""
        single = (self._seats, self._games, self._claim, self.wanted)
        groups = (self.masks, self.results, *self.actions.values())
        rest = [self.state[name] for name in ("missiles", "rank", "mates", "counts")]
        return sum(part.nbytes for part in (*single, *rest, *(part for group in groups for part in group.values())))

    def arena(self) -> Arena:
        """Views for the kernels of a step."""
        masks = {f"mask_{head}": mask for head, mask in self.masks.items()}
        records = {"seats": self._seats, "games": self._games, "claim": self._claim}
        return _fill(Arena, {**self.state, **records, **self._codes, **masks})

    def world(self) -> World:
        """Views for pilots."""
        masks = {f"mask_{head}": mask for head, mask in self.masks.items()}
        return _fill(World, {**self.state, **self._codes, **masks})

    def result_views(self) -> Results:
        """Views of what a step returns."""
        return _fill(Results, self.results)

    def seen(self, layout: Mapping[str, int]) -> Seen:
        """Views of the observation, whose blocks stand where ``layout`` says; see ``features.layout_of``."""
        rows = self.results["observation"]
        games, seats, width = rows.shape
        seen = Seen()
        seen.rows = view_of(rows)
        allies, missiles = (layout[f"{kind}_seen"] for kind in ("allies", "missiles"))
        for name, block, at, number, size in (
            ("stores", StoreBlock, layout["at_stores"], None, len(STORE_FEATURES)),
            ("allies", AllyBlock, layout["at_allies"], allies, len(ALLY_FEATURES)),
            ("missiles", MissileBlock, layout["at_missiles"], missiles, len(MISSILE_FEATURES)),
        ):
            if at + (number or 1) * size <= width and number != 0:
                shape = (games, seats) if number is None else (games, seats, number)
                strides = (4 * seats * width, 4 * width, 4 * size)[: len(shape)]
                start = rows.data_ptr() + 4 * at
                setattr(
                    seen, name, wp.array(ptr=start, dtype=block, shape=shape, strides=strides, device=_name_of(rows))
                )
        return seen

    def action_views(self) -> dict[str, Actions]:
        """Views of every set of actions."""
        return {name: _fill(Actions, tensors) for name, tensors in self.actions.items()}


def _field(records: Tensor, name: str, where: slice) -> Tensor:
    """One quantity of all records; single words lose their dimension."""
    words = records.view(torch.int32) if name in WHOLE_NUMBERS else records
    return words[..., where] if where.stop - where.start > 1 else words[..., where.start]


def _fill(kind: Any, tensors: Mapping[str, Tensor]) -> Any:
    """A Warp struct of this kind, every array of it a view of the tensor of that name."""
    views = kind()
    for name in kind.vars:
        setattr(views, name, view_of(tensors[name], STRUCTS.get(name), VECTORS.get(name)))
    return views


def view_of(tensor: Tensor, record: Any = None, vector: Any = None) -> Any:
    """Warp's view of a tensor, whose last dimension is a struct (``record``), a ``vector`` or nothing special."""
    if record is None:
        return wp.from_torch(tensor, dtype=vector, requires_grad=False)
    strides = tuple(4 * step for step in tensor.stride()[:-1])
    shape = tuple(tensor.shape[:-1])
    return wp.array(ptr=tensor.data_ptr(), dtype=record, shape=shape, strides=strides, device=_name_of(tensor))


def _name_of(tensor: Tensor) -> str:
    """Warp's name of a tensor's device."""
    return "cpu" if tensor.device.type == "cpu" else f"cuda:{tensor.device.index or 0}"
