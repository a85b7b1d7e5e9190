"""The metrics of self-play: the league, its opponents, the exploiters."""

from headctl.run.metric import Metric

_ANY = "any"

SELFPLAY_METRICS: tuple[Metric, ...] = (
    Metric("selfplay/pool_size", "policies", "Frozen snapshots in the pool", "grows to pool_size", "-"),
    Metric(
        "selfplay/games",
        "games",
        "Games against the pool that ended in this iteration",
        "10 or more",
        "Few: the win rate beside it is noise; read it over many iterations",
    ),
    Metric(
        "selfplay/win_rate",
        "1",
        "wins / (wins + losses) of those games; draws are left out, see draw_rate",
        "above 0.5: the agent beats its past selves",
        "Below 0.5 for long: the agent forgets; raise selfplay.pool_size or lower ppo.learning_rate",
    ),
    Metric(
        "selfplay/draw_rate",
        "1",
        "draws / games of those games",
        "falls while the agent learns to finish",
        "Near 1: nobody wins; lengthen the time limit or strengthen the shaping reward",
    ),
    Metric(
        "selfplay/league_win_rate",
        "1",
        "Mean over the frozen policies of the agent's smoothed score against each, (points + 1) / (games + 2), a draw "
        "is half a point; recent games only, see selfplay.payoff.half_life. Unlike win_rate it does not depend on who "
        "is drawn. Schedules of performance know it as league_win_rate",
        "above 0.6 and level",
        "Falling: the agent forgets; give pfsp more weight or play more slots",
    ),
    Metric(
        "selfplay/exploitability",
        "1",
        "What the best of the frozen policies gets from the agent, max(0, max(1 - 2 score)) over them: 0 where it "
        "beats everybody, 1 where somebody always wins. A lower bound, by those who happen to be there",
        "near 0",
        "Above 0.2: somebody of the past has an answer; selfplay/opponent/<opponent>/win_rate says who",
    ),
    Metric(
        "selfplay/nash_support",
        "policies",
        "Effective number of frozen policies in the Nash mixture of the payoff matrix, exp(entropy): how many of them "
        "one has to be able to answer. Needs selfplay.payoff.every, without it all are alike",
        "small where later policies beat earlier ones, large where they run in circles",
        "Large: the game is not transitive; play the pool (uniform, nash) and not only the latest",
    ),
    Metric(
        "selfplay/opponent_age",
        "agent-steps",
        "How long ago the snapshots in play were frozen, mean over the slots; nan where no slot has one",
        _ANY,
        "-",
    ),
    Metric(
        "selfplay/gate_score",
        "1",
        "Score against the pool since the agent was frozen last, a draw is half a win; what entry.win_rate is asked of",
        "above 0.5",
        "Far below entry.win_rate for long: nothing enters; lower the gate or set entry.by to both",
    ),
    Metric(
        "selfplay/elo",
        "Elo",
        "Live rating of the agent, moved by every training game against the league; depends on their order. For a "
        "comparison use rating",
        "rises",
        "-",
    ),
    Metric(
        "selfplay/rating",
        "Elo",
        "Bradley-Terry rating of the agent by all games of the payoff matrix, as of the last draw of opponents; the "
        "first pilot of the league, without one its oldest policy, has 1000",
        "rises",
        "Level for long: nobody teaches the agent anything; add opponents, or lower its targets",
    ),
    Metric("selfplay/rating_low", "Elo", "Lower end of the 95 % interval of rating", _ANY, "-"),
    Metric(
        "selfplay/rating_high",
        "Elo",
        "Upper end of the 95 % interval of rating",
        "within 200 of rating_low",
        "Wider: few games count; raise slots or payoff.half_life",
    ),
    Metric("selfplay/opponent/<opponent>/games", "games", "Games against it that ended in this iteration", _ANY, "-"),
    Metric(
        "selfplay/opponent/<opponent>/win_rate",
        "1",
        "The agent's smoothed score against it, (points + 1) / (games + 2), recent games only",
        "above 0.5",
        "Below: pfsp plays it more often by itself",
    ),
    Metric(
        "selfplay/opponent/<opponent>/probability",
        "1",
        "How probable it is in the next draw of opponents",
        "at least floor / size for every frozen policy under pfsp and nash",
        "-",
    ),
    Metric(
        "selfplay/opponent/<opponent>/rating",
        "Elo",
        "Its Bradley-Terry rating by all games of the payoff matrix; nan before the first draw after its entry",
        "younger snapshots have more",
        "-",
    ),
    Metric(
        "selfplay/opponent/<opponent>/entropy/<head>",
        "nats",
        "Mean entropy of the agent's head in games against it; `latest` stands for games against itself",
        _ANY,
        "-",
    ),
    Metric(
        "selfplay/entropy_shift/<head>",
        "nats",
        "The largest difference that one opponent makes to the head's entropy: mean entropy against it minus the mean "
        "over the others",
        "small beside heads/<head>/entropy",
        "Large: this opponent moves the head; see entropy_shift_by",
    ),
    Metric(
        "selfplay/entropy_shift_by/<head>",
        "name",
        "Which opponent that is. A name in metrics.jsonl, left out in TensorBoard",
        _ANY,
        "-",
    ),
    Metric("roles/<role>/generation", "exploiters", "How often the exploiter has begun, counted from 1", _ANY, "-"),
    Metric("roles/<role>/agent_steps", "agent-steps", "Decisions that it has taken in all its generations", _ANY, "-"),
    Metric("roles/<role>/games", "games", "Games that ended since it began", _ANY, "-"),
    Metric(
        "roles/<role>/score",
        "1",
        "Its score against its opponents, a draw is half a win, over about the last 2 games (selfplay.roles) games",
        "main_exploiter: below 0.5 late in training",
        "Near 1: it has found a weakness of the main agent, and enters the league with it",
    ),
    Metric("roles/<role>/alpha/<head>", "1", "As heads/<head>/alpha, of its own controller", _ANY, "-"),
    Metric("roles/<role>/entropy/<head>", "nats", "As heads/<head>/entropy, of its own controller", _ANY, "-"),
    Metric("roles/<role>/fraction/<head>", "1", "As heads/<head>/fraction, of its own controller", _ANY, "-"),
    Metric(
        "roles/<role>/target_fraction/<head>", "1", "As heads/<head>/target_fraction, of its own controller", _ANY, "-"
    ),
)
"""In the order of the documentation."""
