import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from headctl.selfplay.seating import Seating


@given(
    num_games=st.integers(1, 60),
    per_side=st.integers(1, 3),
    share=st.floats(0.0, 1.0),
    slots=st.integers(1, 9),
    interleaved=st.booleans(),
)
@settings(deadline=None, max_examples=300)
def test_seating_is_a_fair_partition(num_games, per_side, share, slots, interleaved):
    sides = (0, 1) * per_side if interleaved else (0,) * per_side + (1,) * per_side
    seating = Seating(num_games, sides, latest_share=share, slots=slots)
    against_pool = num_games - seating.latest_games

    # Every seat of every game belongs to the learner or to one opponent.
    learner, opponents = seating.learner.tolist(), seating.opponents.flatten().tolist()
    assert sorted(learner + opponents) == list(range(num_games * len(sides)))
    assert learner == sorted(learner)
    assert seating.opponents.shape == (seating.slots, per_side * against_pool // max(seating.slots, 1))

    # A game's result goes to the opponent who has played it.
    for slot, rows in enumerate(seating.opponents):
        assert (seating.slot_of_game[rows // len(sides)] == slot).all()

    # The share is kept as far as equal parts allow; more slots than games are not used.
    wanted = num_games - round(num_games * share)
    assert seating.slots == min(slots, wanted)
    assert 0 <= wanted - against_pool < max(seating.slots, 1)

    # In a game against the latest policy the learner has both sides, in the others exactly one.
    owner = dict.fromkeys(learner, "learner")
    for game in range(num_games):
        mine = [sides[seat] for seat in range(len(sides)) if owner.get(game * len(sides) + seat)]
        if game < seating.latest_games:
            assert sorted(mine) == sorted(sides)
        else:
            assert mine == [int(seating.learner_side[game])] * per_side

    # Both seats alike: for the learner over all games, and for every opponent.
    learner_sides = seating.learner_side[seating.latest_games :]
    assert abs(int((learner_sides == 0).sum()) - int((learner_sides == 1).sum())) <= 1
    for rows in seating.opponents:
        counts = [sum(sides[seat % len(sides)] == side for seat in rows.tolist()) for side in (0, 1)]
        assert abs(counts[0] - counts[1]) <= per_side
        games = {seat // len(sides) for seat in rows.tolist()}
        if len(games) * per_side == len(rows):  # no game is shared out among opponents
            continue
        pytest.fail(f"an opponent has parts of games: {rows.tolist()}")


@pytest.mark.parametrize("latest", [0.0, 0.25, 0.5, 1.0])
@pytest.mark.parametrize("processes", [1, 2, 4])
def test_parts_of_a_seating_are_the_whole_one(latest, processes):
    seating = Seating(64, (0, 1), latest_share=latest, slots=4)
    parts = [seating.part(range(rank * 64 // processes, (rank + 1) * 64 // processes)) for rank in range(processes)]
    learner, opponents = seating.learner, seating.opponents
    for rank, part in enumerate(parts):
        shift = rank * 128 // processes
        assert torch.equal(part.learner + shift, learner[part.learner_rows])
        assert torch.equal((part.opponents + shift).flatten(), opponents.flatten()[part.opponent_rows])
        assert torch.equal(part.learner_rows.diff(), torch.ones(len(part.learner) - 1, dtype=torch.int64))
    assert torch.equal(torch.cat([part.learner_rows for part in parts]), torch.arange(len(learner)))
    rows = torch.cat([part.opponent_rows for part in parts])
    assert torch.equal(rows.sort().values, torch.arange(opponents.numel()))
    for name in ("learner_side", "slot_of_game"):
        assert torch.equal(torch.cat([getattr(part, name) for part in parts]), getattr(seating, name))


def test_a_part_in_which_opponents_have_unequal_shares_is_refused():
    seating = Seating(16, (0, 1), latest_share=0.0, slots=4)
    with pytest.raises(ValueError, match=r"the opponents of the games 0 to 3 have \[2, 2, 0, 0\] seats there"):
        seating.part(range(4))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((4, (0, 1), 1.5, 1), r"latest_share must be in \[0, 1\]"),
        ((4, (0, 1), 0.5, 0), "slots at least 1"),
        ((0, (0, 1), 0.5, 1), "num_games must be at least 1"),
        ((4, (0, 1, 1), 0.5, 1), "the same number of seats"),
        ((4, (1, 2), 0.5, 1), "the same number of seats"),
        ((4, (), 0.5, 1), "the same number of seats"),
    ],
)
def test_seatings_that_make_no_sense_are_refused(arguments, words):
    num_games, sides, share, slots = arguments
    with pytest.raises(ValueError, match=words):
        Seating(num_games, sides, latest_share=share, slots=slots)
