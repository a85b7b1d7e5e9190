"""The ladder of the dogfight's scripted pilots: each beats the one below it, from both seats of the same starts."""

import itertools

import pytest

from headctl.selfplay.catalog import make
from headctl.selfplay.match import PilotPlayer, play_match

PILOTS = ("straight", "random", "weave", "pursuit", "fighter", "ace")
GAMES, ACE_GAMES = 400, 60


def dogfight(num_games, seed):
    return make("dogfight", {}, num_games=num_games, seed=seed)


def test_the_game_has_these_pilots_in_this_order():
    assert dogfight(1, 0).pilot_names == PILOTS


@pytest.mark.slow
@pytest.mark.parametrize(("worse", "better"), list(itertools.pairwise(PILOTS[:-1])))
def test_each_pilot_wins_65_percent_of_decided_games_against_the_one_below_it(worse, better):
    result = play_match(dogfight, PilotPlayer(better), PilotPlayer(worse), games=GAMES, seed=1)
    assert result.wins + result.losses >= 80
    assert result.win_rate >= 0.65


@pytest.mark.slow
def test_the_ace_wins_most_games_against_the_fighter():
    # He looks ahead for a millisecond per decision: 400 games take many minutes, and `headctl bench pilots` plays them.
    result = play_match(dogfight, PilotPlayer("ace"), PilotPlayer("fighter"), games=ACE_GAMES, seed=1)
    assert result.wins + result.losses >= ACE_GAMES // 4
    assert result.win_rate >= 0.6
