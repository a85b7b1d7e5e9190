"""What processes do together; a process without others does the same without a message."""

import pickle

import pytest
import torch
from torch import distributed, multiprocessing

from headctl.ppo import ranks as module
from headctl.ppo.ranks import ALONE, SAID, Ranks, RanksError, joined


class UnreadableError(ValueError):
    """An error that other processes cannot read: it wants two arguments and keeps one."""

    def __init__(self, what, why):
        super().__init__(what)


def raised(call):
    try:
        return call()
    except (ValueError, OSError, RuntimeError) as error:
        return type(error).__name__, str(error), getattr(error, "__notes__", [])


def fail(error):
    raise error


def answers(ranks):
    """Returns what one of two processes gets to know."""
    own = {"game": {"counts": torch.full((2, 3), ranks.rank), "seed": 7 + ranks.rank}, "left": torch.arange(2)}
    whole = ranks.whole(own)
    return {
        "games": ranks.games(8),
        "any": [ranks.any(ranks.rank == 1), ranks.any(flag=False)],
        "agreed": ranks.agreed(f"of {ranks.rank}"),
        "whole": whole,
        "own": ranks.own(whole),
        "total": ranks.total(torch.tensor([1.0, ranks.rank])),
        "refused": raised(lambda: ranks.first_does(lambda: fail(OSError(28, "No space left on device", "a file")))),
        "unreadable": raised(lambda: ranks.first_does(lambda: fail(UnreadableError("what", "why")))),
        "in step": raised(lambda: ranks.check_in_step(torch.tensor([1.0, float("nan")], dtype=torch.float64))),
        "out of step": raised(lambda: ranks.check_in_step(torch.tensor([1.0, 1e-16 * ranks.rank]).double())),
    }


def process(rank, store, results):
    distributed.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
    ranks = Ranks(rank, 2, distributed.group.WORLD)
    results.put((rank, pickle.dumps(answers(ranks))))
    ranks.any(flag=False)
    distributed.destroy_process_group()


def test_two_processes_agree(tmp_path):
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    processes = [context.Process(target=process, args=(rank, tmp_path / "store", results)) for rank in range(2)]
    for each in processes:
        each.start()
    found = dict(results.get(timeout=300) for _ in processes)
    for each in processes:
        each.join(timeout=300)
    first, second = (pickle.loads(found[rank]) for rank in range(2))  # noqa: S301 - one's own
    assert (first["games"], second["games"]) == (range(4), range(4, 8))
    for each in (first, second):
        assert each["any"] == [True, False]
        assert each["agreed"] == "of 0"
        assert each["total"].tolist() == [2.0, 1.0]
        assert each["whole"]["game"]["counts"][:, 0].tolist() == [0, 0, 1, 1]
        assert each["whole"]["game"]["seed"] == 7
        assert each["whole"]["left"].tolist() == [0, 1, 0, 1]
        assert each["in step"] is None
        assert each["out of step"][0] == "RanksError"
        assert "processes [1] of 2" in each["out of step"][1]
    assert second["own"]["game"]["counts"].tolist() == [[1, 1, 1], [1, 1, 1]]
    assert first["refused"] == ("OSError", "[Errno 28] No space left on device: 'a file'", [])
    assert second["refused"] == (*first["refused"][:2], [SAID])
    assert first["unreadable"] == ("UnreadableError", "what", [])
    assert second["unreadable"] == ("RuntimeError", "UnreadableError: what", [SAID])


def test_alone_everything_is_as_it_is():
    assert ALONE.first
    assert ALONE.total is None
    assert ALONE.games(5) == range(5)
    assert (ALONE.any(True), ALONE.any(False)) == (True, False)
    assert ALONE.device("cuda:1") == "cuda:1"
    state = {"counts": torch.ones(3)}
    assert ALONE.whole(state) is state
    assert ALONE.own(state) is state
    with pytest.raises(UnreadableError) as told:
        ALONE.first_does(lambda: fail(UnreadableError("what", "why")))
    assert not hasattr(told.value, "__notes__")


def test_without_torchrun_a_process_is_alone(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with joined() as ranks:
        assert ranks is ALONE


def test_a_world_that_nobody_can_find_is_refused(monkeypatch):
    for name in module._NEEDED:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    with (
        pytest.raises(RanksError, match=r"WORLD_SIZE is 2, but LOCAL_RANK, MASTER_ADDR, MASTER_PORT is not set"),
        joined(),
    ):
        pass
