import pytest
from headctl_envs.dogfight.names import PILOTS

from headctl.run.arena import Arena
from headctl.run.config import parse_config
from headctl.run.entrants import Lobby
from headctl.run.folder import RunFolderError, create_run_folder
from headctl.run.report_view import make_console
from headctl.run.session import train
from headctl.selfplay.round_robin import play_round_robin

FIGHT = """
total_steps: 600
game: {num_games: 8, options: {time_limit_s: 4}}
policy: {hidden: [16]}
ppo: {rollout_steps: 16, epochs: 1, minibatch_size: 128}
selfplay: {snapshot_every: 200, slots: 2, pool_size: 2}
evaluation: {games: 4}
run: {tensorboard: false}
"""

HANDS = """
total_steps: 512
game: {name: matrix, num_games: 32}
policy: {hidden: [8]}
ppo: {rollout_steps: 4, epochs: 1, minibatch_size: 64}
selfplay: {snapshot_every: 128}
evaluation: {games: 60, greedy: true}
run: {tensorboard: false}
"""
"""Rock, paper, scissors: who always takes his most likely hand draws every game against himself."""


def trained(run_dir, text):
    config = parse_config(text)
    create_run_folder(run_dir, config)
    assert train(config, run_dir, make_console(), resume=False) == 0
    return run_dir


@pytest.fixture(scope="module")
def fighter(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("arena") / "fighter", FIGHT)


@pytest.fixture(scope="module")
def hand(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("arena") / "hand", HANDS)


def test_matches_against_pilots_and_runs(fighter):
    arena = Arena(fighter)
    assert arena.agent_steps >= 600
    opponents = arena.opponents(["straight", str(fighter)])
    assert list(opponents) == ["straight", "fighter"]
    results = [arena.play(opponent, 6) for opponent in opponents.values()]
    assert [result.games for result in results] == [6, 6]
    assert arena.play(opponents["straight"], 6) == results[0]
    assert arena.play(opponents["straight"]).games == 4
    assert list(arena.opponents([])) == list(PILOTS)


def test_an_agent_meets_its_own_past(fighter):
    arena = Arena(fighter)
    youngest = min((fighter / "league").iterdir())
    opponents = arena.opponents([f"{fighter}@0", str(youngest)])
    assert {label.partition("@")[0] for label in opponents} == {"fighter"}
    assert all("@" in label for label in opponents)
    assert [arena.play(opponent, 2).games for opponent in opponents.values()] == [2] * len(opponents)


def test_unknown_names_and_runs_of_other_games_are_refused(fighter, hand):
    with pytest.raises(RunFolderError, match="Did you mean 'pursuit'"):
        Arena(fighter).opponents(["persuit"])
    with pytest.raises(RunFolderError, match="trained in another game: matrix"):
        Arena(fighter).opponents([str(hand)])


def test_runs_of_the_same_game_with_other_actions_do_not_meet(fighter, tmp_path):
    create_run_folder(tmp_path / "other", parse_config(FIGHT, ["game.options.maneuvers=basic7"]))
    with pytest.raises(RunFolderError, match="another game"):
        Arena(fighter).opponents([str(tmp_path / "other")])


def test_a_greedy_agent_always_shows_the_same_hand_and_a_drawing_one_does_not(hand):
    for greedy, draws in ((None, 60), (True, 60), (False, None)):
        arena = Arena(hand, greedy=greedy)
        (opponent,) = arena.opponents([str(hand)]).values()
        result = arena.play(opponent)
        assert result.draws == draws if draws is not None else result.draws < 45


def test_a_tournament_takes_the_same_choice(hand):
    lobby = Lobby.of([str(hand)], None)
    names = [str(hand), f"{hand}@0"]
    for greedy, most_likely in ((None, True), (True, True), (False, False)):
        entrants = list(lobby.entrants(names, greedy=greedy).values())
        assert [entrant.greedy for entrant in entrants] == [most_likely] * 2
        (result,) = play_round_robin(lobby.make_game, entrants, [(0, 1)], games=60, seed=1)
        alike = {result.result.wins, result.result.losses, result.result.draws}
        assert (alike == {0, 60}) is most_likely or (alike == {0, 30}) is most_likely


@pytest.mark.parametrize(("batched", "kind"), [("true", "FaceBatch"), ("false", "ParallelEnvGame")])
def test_matches_are_of_the_game_as_the_configuration_has_it(batched, kind):
    """A PettingZoo game that offers a batch of itself is played as such unless ``game.batched`` says otherwise."""
    game = "name: 'headctl_envs.dogfight_v0:parallel_env', options: {missiles: 0, flares: 0}"
    config = parse_config(f"game: {{{game}, batched: {batched}}}")
    assert type(Lobby(config, "config.yaml").make_game(2, 1)).__name__ == kind
