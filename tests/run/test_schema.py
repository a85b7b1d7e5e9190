import json
import re
from pathlib import Path

import jsonschema
import pytest
import yaml

from headctl.entropy.spec import HEAD_KEYS
from headctl.run.config import ConfigError, parse_config
from headctl.run.reference import describe_keys
from headctl.run.schema import config_schema, schema_text
from headctl.run.yaml_io import parse_yaml

ROOT = Path(__file__).parents[2]
VALIDATOR = jsonschema.Draft202012Validator(config_schema())


def test_the_shipped_schema_is_that_of_the_code():
    shipped = (ROOT / "configs" / "headctl.schema.json").read_text(encoding="utf-8")
    assert shipped == schema_text(config_schema()), "bring it up to date: python -m headctl.run.reference docs"
    jsonschema.Draft202012Validator.check_schema(json.loads(shipped))


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*.yaml")), ids=lambda path: path.name)
def test_shipped_files_name_the_schema_and_keep_it(path):
    text = path.read_text(encoding="utf-8")
    named = re.match(r"# yaml-language-server: \$schema=(\S+)\n", text)
    assert (path.parent / named[1]).is_file()
    VALIDATOR.validate(parse_yaml(text).tree)
    # As an editor reads it: with plain YAML, where 10_000_000 and 5e-4 may be text.
    VALIDATOR.validate({key: value for key, value in yaml.safe_load(text).items() if key != "ppo"})


def test_every_key_is_in_the_schema_with_its_meaning():
    schema = config_schema()

    def resolve(entry):
        reference = entry.get("$ref")
        return schema["$defs"][reference.rpartition("/")[2]] if reference else entry

    for key in describe_keys():
        entry = schema
        for part in key.name.split("."):
            entry = resolve(entry)["properties"][part]
        assert entry["description"].startswith(key.meaning)
    head = schema["$defs"]["Head"]["anyOf"][1]["properties"]
    assert list(head) == list(HEAD_KEYS)


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "seed: 4",
        "heads: {weapon: 0.3, maneuver: {target: {schedule: linear, start: 0.8, end: 0.3}, mode: track}}",
        "heads: {weapon: {law: fixed, alpha: 0.01}}",
        "game: {options: {start: head_on, time_limit_s: 30}}",
        "ppo: {target_kl: null}",
        "policy: {hidden: [64]}",
        "ppo: {epochs: 0}",
        "sed: 4",
        "heads: {weapon: {taget: 0.3}}",
        "heads: {weapon: {mode: flor}}",
        "policy: {activation: sine}",
        "game: {options: {time_limit: 30}}",
        "game: {options: {time_limit_s: -1}}",
        "policy: {hidden: 64}",
        "run: {tensorboard: 7}",
    ],
)
def test_the_schema_and_the_reader_agree(text):
    valid = VALIDATOR.is_valid(parse_yaml(text).tree)
    try:
        parse_config(text)
        loads = True
    except ConfigError:
        loads = False
    assert valid == loads


def test_the_heads_of_a_game_are_the_only_ones():
    own = jsonschema.Draft202012Validator(config_schema(["rock"]))
    assert own.is_valid({"game": {"name": "a:b"}, "heads": {"rock": 0.3}})
    assert not own.is_valid({"game": {"name": "a:b"}, "heads": {"weapon": 0.3}})
    assert VALIDATOR.is_valid({"game": {"name": "a:b", "options": {"any": 1}}, "heads": {"rock": 0.3}})
