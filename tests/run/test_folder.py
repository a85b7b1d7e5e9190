import pytest
import yaml

from headctl.run.config import RunConfig, load_config
from headctl.run.folder import RunFolderError, check_run_folder, create_run_folder, is_run_folder


def tree(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_new_folder_says_where_it_comes_from(tmp_path):
    run = tmp_path / "runs" / "a"
    config = RunConfig.model_validate({"seed": 9})
    create_run_folder(run, config, ["headctl", "train", "a file.yaml", "seed=9"])
    check_run_folder(run)
    assert is_run_folder(run)
    assert load_config(run / "config.yaml").seed == 9
    assert (run / "command.txt").read_text(encoding="utf-8") == "headctl train 'a file.yaml' seed=9\n"
    versions = yaml.safe_load((run / "version.txt").read_text(encoding="utf-8"))
    assert versions["run_format"] == 1
    assert {"headctl", "torch", "python"} <= set(versions)


def test_an_existing_folder_is_refused_and_untouched(tmp_path):
    run = tmp_path / "a"
    create_run_folder(run, RunConfig())
    (run / "metrics.jsonl").write_text("precious", encoding="utf-8")
    before = tree(run)
    with pytest.raises(RunFolderError) as caught:
        create_run_folder(run, RunConfig.model_validate({"seed": 2}))
    for way_out in ("--name", "--resume", "--force"):
        assert way_out in str(caught.value)
    assert tree(run) == before


def test_force_deletes_a_run_but_nothing_else(tmp_path):
    run = tmp_path / "a"
    create_run_folder(run, RunConfig())
    (run / "checkpoints" / "step.pt").write_text("old", encoding="utf-8")
    (run / "notes.md").write_text("mine", encoding="utf-8")
    create_run_folder(run, RunConfig.model_validate({"seed": 2}), force=True)
    assert not (run / "checkpoints" / "step.pt").exists()
    assert (run / "notes.md").read_text(encoding="utf-8") == "mine"
    assert load_config(run / "config.yaml").seed == 2


def test_force_does_not_delete_what_is_no_run(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work", encoding="utf-8")
    with pytest.raises(RunFolderError, match="no run folder"):
        create_run_folder(tmp_path, RunConfig(), force=True)
    with pytest.raises(RunFolderError, match="is a file"):
        create_run_folder(tmp_path / "thesis.tex", RunConfig(), force=True)
    assert (tmp_path / "thesis.tex").read_text(encoding="utf-8") == "years of work"


def test_an_empty_folder_will_do(tmp_path):
    create_run_folder(tmp_path, RunConfig())
    check_run_folder(tmp_path)
