"""``headctl tournament`` and ``headctl league`` on small runs of a matrix game."""

import json
import shutil

import pytest

from tests.helpers.command_line import headctl, refused

SMALL = """
total_steps: 24_000
seed: 3
game: {name: matrix, num_games: 64}
policy: {hidden: [8]}
ppo: {rollout_steps: 4, epochs: 1, minibatch_size: 128}
selfplay:
  opponents: {latest: 0.5, uniform: 0.4, pilots: 0.1}
  snapshot_every: 6_000
  payoff: {every: 4, pairs: 2, games: 16}
evaluation: {games: 20}
run: {tensorboard: false}
"""


def train(folder, name, *overrides):
    (folder / "small.yaml").write_text(SMALL, encoding="utf-8")
    result = headctl("train", folder / "small.yaml", f"run.dir={folder}/runs", "--name", name, *overrides)
    assert result.exit_code == 0, result.output
    return folder / "runs" / name


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two runs of one game whose networks differ, one of another game, and one whose league has not played."""
    folder = tmp_path_factory.mktemp("tournament")
    return {
        "small": train(folder, "small"),
        "large": train(folder, "large", "policy.hidden=[12, 12]", "seed=4"),
        "pennies": train(folder, "pennies", "game.options={game: matching_pennies}", "total_steps=600"),
        "unplayed": train(
            folder,
            "unplayed",
            "total_steps=512",
            "selfplay.payoff.every=1000",
            "selfplay.opponents={latest: 1.0}",
        ),
    }


def snapshots(run):
    return sorted(path.stem for path in (run / "league").glob("*.pt"))


def test_runs_checkpoints_snapshots_and_pilots_meet(runs, tmp_path):
    small, large = runs["small"], runs["large"]
    early = int(snapshots(small)[1])
    file = next((large / "checkpoints").glob("*.pt"))
    players = [small, large, f"{small}@{early}", f"{small}@0", file, "random", "nash"]
    result = headctl("tournament", *players, "--games", 40, "--out", tmp_path / "out", "--json")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    names = {player["name"] for player in told["players"]}
    steps = int(file.stem.removeprefix("step_"))
    assert names == {"small", "large", f"small@{early}", "small@0", f"large@{steps}", "random", "nash"}
    assert json.loads((tmp_path / "out" / "tournament.json").read_text()) == told
    assert (tmp_path / "out" / "tournament.png").read_bytes().startswith(b"\x89PNG")
    assert told["anchor"] == "random"
    rated = {player["name"]: player for player in told["players"]}
    assert rated["random"]["rating"] == rated["random"]["rating_low"] == rated["random"]["rating_high"] == 1000.0
    assert [player["rating"] for player in told["players"]] == sorted(
        (player["rating"] for player in told["players"]), reverse=True
    )
    assert len(told["pairs"]) == 21
    assert all(pair["wins"] + pair["losses"] + pair["draws"] == 40 for pair in told["pairs"])
    assert sum(player["nash"] for player in told["players"]) == pytest.approx(1.0)
    assert told["nash_exploitability"] < 1e-4
    for name in names:  # what a player has in all is what he has in pairs
        pairs = [pair for pair in told["pairs"] if name in (pair["first"], pair["second"])]
        wins = sum(pair["wins"] if pair["first"] == name else pair["losses"] for pair in pairs)
        assert wins == rated[name]["wins"]


def test_a_tournament_is_a_function_of_its_seed_and_leaves_the_runs_alone(runs, tmp_path):
    small = runs["small"]

    def content():
        return {path: path.read_bytes() for path in sorted(small.rglob("*")) if path.is_file()}

    before = content()
    played = [
        headctl("tournament", small, "random", "--games", 60, "--seed", seed, "--out", tmp_path, "--json").stdout
        for seed in (1, 1, 2)
    ]
    assert played[0] == played[1] != played[2]
    assert content() == before


def test_the_tables_say_who_is_who(runs, tmp_path):
    result = headctl(
        "tournament", runs["small"], "random", "nash", "--games", 20, "--anchor", "nash", "--out", tmp_path
    )
    assert result.exit_code == 0, result.output
    for text in ("Standings", "nash is 1000", "small", "Non-transitivity", "tournament.json", "tournament.png"):
        assert text in result.stdout.replace("\n", " ")


def test_pilots_alone_need_a_game(tmp_path):
    assert "matches of pilots alone need the game: --config CONFIG" in refused("tournament", "random", "nash")
    (tmp_path / "small.yaml").write_text(SMALL, encoding="utf-8")
    result = headctl("tournament", "random", "nash", "--config", tmp_path / "small.yaml", "--out", tmp_path, "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["pairs"][0]["draws"] > 0


def test_players_that_cannot_play_are_named(runs, tmp_path):
    small = runs["small"]
    assert "a tournament needs two players, got 1: small" in refused("tournament", small)
    assert "unknown player: 'randon'. Did you mean 'random'?" in refused("tournament", small, "randon")
    assert "name everybody once" in refused("tournament", small, small)
    assert "was trained in another game" in refused("tournament", small, runs["pennies"])
    assert "--anchor ace: is none of the players" in refused("tournament", small, "random", "--anchor", "ace")
    message = refused("tournament", f"{small}@17", "random")
    assert "no checkpoint or snapshot of that age. There are: 0, " in message


def test_a_snapshot_that_is_missing_damaged_or_of_another_scheme_is_named(runs, tmp_path):
    broken = tmp_path / "broken"
    shutil.copytree(runs["small"], broken)
    names = snapshots(broken)
    path = broken / "league" / f"{names[1]}.pt"
    path.write_bytes(path.read_bytes()[:100])
    assert f"{path}: " in refused("tournament", f"{broken}@{int(names[1])}", "random", "--out", tmp_path)
    # A snapshot of a network of another size under this run's name.
    shutil.copy(runs["large"] / "league" / f"{names[0]}.pt", broken / "league" / f"{names[0]}.pt")
    message = refused("tournament", f"{broken}@{int(names[0])}", "random", "--out", tmp_path)
    assert "belongs to another network, game or set of heads" in message or "nothing of this name is known" in message
    (broken / "league" / f"{names[2]}.pt").unlink()
    assert names[2] in refused("league", broken) or names[1] in refused("league", broken)


# The league ---------------------------------------------------------------------------------------------------------


def test_the_league_is_that_of_the_checkpoint(runs):
    small = runs["small"]
    told = json.loads(headctl("league", small, "--json").stdout)
    players = {player["name"]: player for player in told["players"]}
    assert set(players) == {"latest", "random", "nash", *snapshots(small)}
    assert {players[name]["kind"] for name in snapshots(small)} == {"snapshot"}
    assert (players["latest"]["kind"], players["nash"]["kind"]) == ("learner", "pilot")
    assert players["latest"]["probability"] is None
    assert sum(player["probability"] or 0.0 for player in told["players"]) == pytest.approx(1.0)
    assert players["latest"]["games"] > 100
    assert told["games_played_now"] is False
    assert "latest" in headctl("league", small).stdout


def test_the_league_can_be_played_anew(runs):
    told = json.loads(headctl("league", runs["small"], "--games", 20, "--json").stdout)
    others = len(told["players"]) - 1
    assert told["games_played_now"] is True
    assert {player["games"] for player in told["players"]} == {20 * others}


def test_a_league_without_games_says_so(runs):
    result = headctl("league", runs["unplayed"])
    assert result.exit_code == 0, result.output
    assert "latest" in result.stdout
    assert f"no games yet; have everybody play everybody with: headctl league {runs['unplayed']}" in result.stdout
    assert "no games yet" not in headctl("league", runs["small"]).stdout


@pytest.mark.parametrize("columns", ["80", "200"])
def test_no_terminal_is_so_narrow_that_names_break(runs, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", columns)
    told = headctl("league", runs["small"])
    first = {line.split()[0] for line in told.stdout.splitlines() if line.strip()}
    assert {"latest", "random", "nash"} <= first
    assert {f"@{int(stem)}" for stem in snapshots(runs["small"])} <= first


def test_no_run_no_league(tmp_path):
    assert "no such run folder" in refused("league", tmp_path / "none")
