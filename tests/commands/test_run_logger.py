from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from sdtune.commands.run_logger import RunLogger


def test_hyperparameters_stand_against_the_losses(tmp_path):
    logger = RunLogger(str(tmp_path), "toy", "first")
    logger.log_hyperparams({"rank": 4, "optimizer": "sgd", "modules": ["to_q"], "gamma": None})
    logger.finalize("success")
    events = EventAccumulator(str(tmp_path / "toy" / "first")).Reload()
    assert events.Tags()["scalars"] == []  # no made-up metric
    experiment = events.SummaryMetadata("_hparams_/experiment").plugin_data.content
    for name in (b"rank", b"optimizer", b"modules", b"gamma", b"train/loss", b"val/loss"):
        assert name in experiment
