"""Several processes with unequal shares of the rows take the steps of one process with all of them."""

import torch
from torch import distributed, multiprocessing

from headctl import MultiHeadEntropyController

HEADS = {
    "maneuver": {"target": 0.6, "choices": 9},
    "weapon": {"target": 0.3, "choices": 4},
    "params": {"target": 0.5, "kind": "gaussian", "dims": 2, "law": "dual"},
}
ROWS, FIRST, UPDATES = 1010, 10, 60


def rows(update: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Entropies and weights; in some updates a head is active on one process only, or nowhere."""
    generator = torch.Generator().manual_seed(update)
    entropy = torch.rand(ROWS, 3, generator=generator) * torch.tensor([2.0, 0.9, 2.0])
    entropy[:FIRST, 1] = 0.9
    weight = (torch.rand(ROWS, 3, generator=generator) < torch.tensor([1.0, 0.15, 0.5])).float()
    if update % 5 == 1:
        weight[FIRST:, 1] = 0.0
    if update % 5 == 2:
        weight[:, 1] = 0.0
    return entropy, weight


def train(controller: MultiHeadEntropyController, part: slice) -> tuple[torch.Tensor, torch.Tensor]:
    """Returns the alphas after every update, and the gradient of the last bonus."""
    alphas = []
    gradient = torch.zeros(())
    for update in range(UPDATES):
        entropy, weight = rows(update)
        entropy = entropy[part].requires_grad_()
        controller.bonus(entropy, weight=weight[part]).backward()
        gradient = entropy.grad
        controller.step(entropy.detach(), weight=weight[part])
        alphas.append(controller.alpha.clone())
    return torch.stack(alphas), gradient


def process(rank: int, store: str, results) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
    controller = MultiHeadEntropyController(HEADS, process_group=distributed.group.WORLD)
    part = slice(0, FIRST) if rank == 0 else slice(FIRST, ROWS)
    alphas, gradient = train(controller, part)
    results.put((rank, alphas.numpy(), gradient.numpy()))
    distributed.barrier()
    distributed.destroy_process_group()


def test_two_processes_equal_one(tmp_path):
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    processes = [context.Process(target=process, args=(rank, str(tmp_path / "store"), results)) for rank in range(2)]
    for each in processes:
        each.start()
    shares = {
        rank: (torch.from_numpy(a), torch.from_numpy(g)) for rank, a, g in (results.get(timeout=120) for _ in "ab")
    }
    for each in processes:
        each.join(timeout=60)
        assert each.exitcode == 0
    alone, gradient = train(MultiHeadEntropyController(HEADS), slice(None))
    assert torch.equal(shares[0][0], shares[1][0])
    torch.testing.assert_close(shares[0][0], alone, atol=1e-6, rtol=0)
    # Trainers average gradients over processes.
    together = torch.cat((shares[0][1], shares[1][1])) / 2
    torch.testing.assert_close(together, gradient, atol=1e-7, rtol=1e-5)
