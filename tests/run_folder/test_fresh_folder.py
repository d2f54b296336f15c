import pytest

from sdtune.run_folder.fresh_folder import refuse_links, refuse_used_folder


def test_a_new_run_refuses_another_runs_folder(tmp_path):
    refuse_used_folder(tmp_path / "new")
    refuse_used_folder(tmp_path)
    (tmp_path / "base.png").touch()
    with pytest.raises(FileExistsError, match=r"Expected .* to be empty, but another run"):
        refuse_used_folder(tmp_path)


@pytest.mark.parametrize("place", ["samples", "adapter/step_000002", "hparams.yaml"])
def test_a_link_out_of_a_run_is_not_written_through(tmp_path, place):
    run = tmp_path / "run"
    (run / "adapter").mkdir(parents=True)
    (tmp_path / "other").symlink_to(run)
    refuse_links(tmp_path / "nowhere")
    refuse_links(tmp_path / "other")  # the whole may be one
    (run / "data").symlink_to(tmp_path)  # nothing of a run's
    (run / "adapter" / "best").symlink_to(run / "adapter")
    refuse_links(run)
    (run / place).symlink_to(tmp_path)
    with pytest.raises(ValueError, match=f"{place} is a link that leads out of it"):
        refuse_links(run)
