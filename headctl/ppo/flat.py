"""All parameters of a policy in one piece of memory, and Adam over them in one operation."""

from collections.abc import Callable, Iterable, Mapping
from itertools import groupby
from typing import Any

import torch
from torch import Tensor, nn

from headctl.policy.network import Policy


def flat_order(policy: Policy) -> list[nn.Parameter]:
    """Returns the parameters with those of actor and critic side by side: one product gives the outputs of both."""
    if type(policy.critic) is not nn.Linear:
        return list(policy.parameters())
    ends = [policy.actor.weight, policy.critic.weight, policy.actor.bias, policy.critic.bias]
    taken = {id(each) for each in ends}
    return [each for each in policy.parameters() if id(each) not in taken] + ends


def flatten(parameters: list[nn.Parameter]) -> Tensor:
    """Moves parameters into one piece of memory, in the given order, and returns it ``[N]``."""
    flat = torch.cat([each.detach().flatten() for each in parameters])
    for each, part in zip(parameters, flat.split([each.numel() for each in parameters]), strict=True):
        each.data = part.view_as(each)
    return flat


class FlatAdam(torch.optim.Adam):
    """Adam (Kingma & Ba 2015, algorithm 1) over parameters that lie in one piece of memory, as their gradients do.

    What it remembers looks as in torch's own, parameter by parameter, and either reads the other's state.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        flat: Tensor,
        gradient: Tensor,
        order: list[nn.Parameter],
        *,
        lr: float,
    ) -> None:
        """Creates the optimiser.

        Args:
            parameters: The parameters, in the order in which their state is numbered.
            flat: Their memory ``[N]``.
            gradient: That of their gradients ``[N]``.
            order: The parameters in the order of that memory.
            lr: Step size.
        """
        super().__init__(parameters, lr=lr, eps=1e-5, fused=True)
        self._flat, self._gradient, self._order = flat, gradient, order
        self._moments: tuple[Tensor, Tensor, Tensor] | None = None
        self._moving: list[bool] = []
        self._pieces: list[list[Tensor]] = []

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Takes one step along the gradients as they lie in memory, whatever ``parameter.grad`` is.

        Parameters that require no gradient, or are in no group any more, stay where they are with what is remembered of
        them: without a gradient their momentum would still carry them on.
        """
        if closure is not None:
            closure()
        if self._moments is None:
            self._moments = self._remember()
        count = self._moments[2]
        (group,) = self.param_groups
        beta1, beta2 = group["betas"]
        found_inf = getattr(self, "found_inf", None)
        parameters, gradients, means, squares = self._pieces_that_move(group["params"])
        if not parameters:
            return
        count += 1.0
        torch._fused_adam_(  # pyright: ignore[reportPrivateImportUsage] - what torch.optim.Adam(fused=True) itself calls
            parameters,
            gradients,
            means,
            squares,
            [],
            [count] * len(parameters),
            lr=group["lr"],
            beta1=beta1,
            beta2=beta2,
            weight_decay=group["weight_decay"],
            eps=group["eps"],
            amsgrad=False,
            maximize=False,
            found_inf=found_inf,
        )
        if found_inf is not None:
            count -= found_inf

    # torch would wrap this method for its profiler, at the price of the step itself.
    step.hooked = True  # pyright: ignore[reportFunctionMemberAccess] - how torch marks what it has wrapped

    def _pieces_that_move(self, kept: list[nn.Parameter]) -> list[list[Tensor]]:
        """Returns pieces of the memory of parameters, gradients and moments: what takes part in a step."""
        kept_ids = {id(each) for each in kept}
        moving = [each.requires_grad and id(each) in kept_ids for each in self._order]
        if moving != self._moving and self._moments is not None:
            self._moving, start, runs = moving, 0, []
            for moves, run in groupby(zip(moving, self._order, strict=True), lambda pair: pair[0]):
                stop = start + sum(each.numel() for _, each in run)
                runs += [slice(start, stop)] if moves else []
                start = stop
            memory = (self._flat, self._gradient, *self._moments[:2])
            self._pieces = [[entry[run] for run in runs] for entry in memory]
        return self._pieces

    def _remember(self) -> tuple[Tensor, Tensor, Tensor]:
        """Puts what is remembered of every parameter, zeros at first, into one piece of memory; the state shows it."""
        self._moving = []
        sizes = [each.numel() for each in self._order]
        mean, square = torch.zeros_like(self._flat), torch.zeros_like(self._flat)
        count = torch.zeros((), device=self._flat.device)
        for each, first, second in zip(self._order, mean.split(sizes), square.split(sizes), strict=True):
            views = {"step": count, "exp_avg": first.view_as(each), "exp_avg_sq": second.view_as(each)}
            for name, kept in self.state.get(each, {}).items():
                views[name].copy_(kept)
            self.state[each] = views
        return mean, square, count

    def state_dict(self) -> dict[str, Any]:
        """Returns the state as torch's own does, with a count of steps for every parameter."""
        told = super().state_dict()
        told["state"] = {number: kept | {"step": kept["step"].clone()} for number, kept in told["state"].items()}
        return told

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Takes over a state, of this optimiser or of torch's Adam."""
        super().load_state_dict(dict(state_dict))
        self._moments = self._remember() if self.state else None
