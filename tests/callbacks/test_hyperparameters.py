import pytest
from lightning.pytorch.loggers import TensorBoardLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from sdtune.callbacks.hyperparameters import Hyperparameters
from tests.callbacks.fake_technique import FakeData, FakeTechnique, make_trainer


def read(events, tag):
    data = HParamsPluginData()
    plugin = events.SummaryMetadata(tag).plugin_data
    data.ParseFromString(plugin.content)
    return data


def test_arguments_and_curves_stand_in_the_table(tmp_path):
    logger = TensorBoardLogger(tmp_path, name=None, version="run", default_hp_metric=False)
    trainer = make_trainer(tmp_path, Hyperparameters(), logger=logger, max_steps=5)
    trainer.fit(FakeTechnique(learning_rate=0.25), FakeData())
    events = EventAccumulator(logger.log_dir).Reload()
    start = read(events, "_hparams_/session_start_info").session_start_info.hparams
    assert start["model.learning_rate"].number_value == 0.25
    assert start["data.batch_size"].number_value == 2
    experiment = read(events, "_hparams_/experiment").experiment
    assert [m.name.tag for m in experiment.metric_infos] == ["val/loss", "train/loss"]
    # no point is added to the curves that the table refers to
    assert [event.step for event in events.Scalars("train/loss")] == [0, 1, 2, 3, 4]
    assert "hp_metric" not in events.Tags()["scalars"]


def test_values_that_tensorboard_does_not_know_become_text(tmp_path):
    technique = FakeTechnique()
    technique.hparams["names"] = ["to_q", "to_v"]
    technique.hparams["gamma"] = None
    technique.hparams["nested"] = {"flag": True}
    technique.hparams["_instantiator"] = "lightning.pytorch.cli.instantiate_module"
    logger = TensorBoardLogger(tmp_path, name=None, version="run", default_hp_metric=False)
    make_trainer(tmp_path, Hyperparameters(), logger=logger).fit(technique, FakeData())
    events = EventAccumulator(logger.log_dir).Reload()
    start = read(events, "_hparams_/session_start_info").session_start_info.hparams
    assert start["model.names"].string_value == "['to_q', 'to_v']"
    assert start["model.gamma"].string_value == "None"
    assert start["model.nested.flag"].number_value == 1
    assert start["technique"].string_value == "FakeTechnique"
    assert not [name for name in start if "_instantiator" in name]


@pytest.mark.parametrize("metrics", [[], "val/loss"])
def test_metrics_must_be_tags(metrics):
    with pytest.raises(ValueError, match="`metrics` to be a list of tags"):
        Hyperparameters(metrics)
