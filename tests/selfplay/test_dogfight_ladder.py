"""The ladder of the dogfight's scripted pilots: each beats the one below it, from both seats of the same starts."""

import itertools

import pytest

from headctl.selfplay.catalog import make
from headctl.selfplay.match import PilotPlayer, play_match

PILOTS = ("straight", "random", "weave", "pursuit", "fighter", "ace")
GAMES = 400


def dogfight(num_games, seed):
    return make("dogfight", {}, num_games=num_games, seed=seed)


def test_the_game_has_these_pilots_in_this_order():
    assert dogfight(1, 0).pilot_names == PILOTS


@pytest.mark.slow
@pytest.mark.parametrize(("worse", "better"), list(itertools.pairwise(PILOTS)))
def test_each_pilot_wins_65_percent_of_decided_games_against_the_one_below_it(worse, better):
    result = play_match(dogfight, PilotPlayer(better), PilotPlayer(worse), games=GAMES, seed=1)
    assert result.wins + result.losses >= 80
    assert result.win_rate >= 0.65
