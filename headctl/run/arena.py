"""Matches of a run's newest agent against pilots, other runs, and checkpoints or snapshots of them."""

from collections.abc import Sequence
from pathlib import Path

from headctl.run.agent import load_agent
from headctl.run.entrants import Lobby
from headctl.run.folder import check_run_folder, is_run_folder
from headctl.run.report import RunReader
from headctl.selfplay.match import PilotPlayer, Player, PolicyPlayer, play_match
from headctl.selfplay.results import MatchResult


class Arena:
    """The newest agent of a run, ready to play matches.

    Attributes:
        config: The run's configuration.
        agent_steps: The agent's age.
        greedy: Whether agents take their most likely actions instead of drawing them.
    """

    def __init__(self, run_dir: Path, *, greedy: bool | None = None) -> None:
        """Opens the arena.

        Args:
            run_dir: The run's folder.
            greedy: Whether agents take their most likely actions; ``None``: as ``evaluation.greedy`` says.

        Raises:
            RunFolderError: No run folder.
            CheckpointError: No checkpoint in it.
        """
        check_run_folder(run_dir)
        self.config = RunReader.config_of(run_dir)
        self.greedy = self.config.evaluation.greedy if greedy is None else greedy
        policy, self.agent_steps = load_agent(self.config, run_dir)
        self._player = PolicyPlayer(policy, greedy=self.greedy)
        self._lobby = Lobby(self.config, str(run_dir))

    @property
    def pilots(self) -> tuple[str, ...]:
        """Names of the game's scripted opponents."""
        return self._lobby.pilots

    def opponents(self, names: Sequence[str]) -> dict[str, Player]:
        """Returns the players that are meant by names, by the label under which a match with them is kept.

        Args:
            names: Pilots, folders of runs, ``RUN@STEPS``, or files of checkpoints and snapshots. None: every pilot.

        Raises:
            RunFolderError: A name that is nobody's, or a player of another game.
            CheckpointError: A checkpoint or snapshot that is missing, damaged or of another scheme.
        """
        return dict(self._opponent(name) for name in names or self.pilots)

    def _opponent(self, name: str) -> tuple[str, Player]:
        if name in self.pilots and not is_run_folder(Path(name)):
            return name, PilotPlayer(name)
        loaded = self._lobby.load(name)
        return loaded.label, PolicyPlayer(loaded.policy, greedy=self.greedy)

    def play(self, opponent: Player, games: int | None = None) -> MatchResult:
        """Plays a match, half of the games from each seat; ``evaluation.games`` of them by default."""
        settings = self.config.evaluation
        return play_match(
            self._lobby.make_game, self._player, opponent, games=games or settings.games, seed=settings.seed
        )
