"""``headctl config``: check a configuration, show what it resolves to, describe its format."""

from pathlib import Path

import click

from headctl.commands.base import examples, only_overrides, print_json, refusals


@click.command(
    epilog=examples(
        "headctl config configs/dogfight_1v1.yaml",
        "headctl config configs/dogfight_1v1.yaml --show heads.weapon.target=0.35",
        "headctl config --schema > headctl.schema.json",
    )
)
@click.argument("source", metavar="CONFIG", required=False)
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("--check", "mode", flag_value="check", default="check", help="Check the file against the game (default).")
@click.option("--show", "mode", flag_value="show", help="Print every value that it resolves to, with its origin.")
@click.option(
    "--schema", "mode", flag_value="schema", help="Print the JSON Schema, for editors. CONFIG may be left out."
)
@refusals
def config(source: str | None, overrides: tuple[str, ...], mode: str) -> None:
    """Check the YAML file CONFIG without running anything, show what it resolves to, or describe the format.

    --show names the origin of every value: the command line, a line of the file, or the default. With CONFIG, --schema
    allows the heads of that game alone.
    """
    from headctl.run import config as configuration  # noqa: PLC0415 - --help must not load it

    only_overrides(overrides)
    if source is None:
        if mode != "schema":
            raise click.UsageError("name the YAML file to check, such as configs/dogfight_1v1.yaml")
        from headctl.run.schema import config_schema  # noqa: PLC0415 - with it

        print_json(config_schema())
        return
    path = Path(source)
    path = path / "config.yaml" if path.is_dir() else path
    if mode == "show":
        from headctl.run.origins import show_with_origins  # noqa: PLC0415 - with it

        click.echo(show_with_origins(path, overrides), nl=False)
        return
    resolved = configuration.load_config(path, overrides)
    if mode == "schema":
        from headctl.run.schema import config_schema  # noqa: PLC0415 - with it

        print_json(config_schema(resolved.heads))
        return
    heads = ", ".join(resolved.heads)
    click.echo(f"{source}: ok. Game {resolved.game.name}, heads {heads}, {resolved.total_steps:_} agent-steps")
