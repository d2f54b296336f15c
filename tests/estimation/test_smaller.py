from sdtune.estimation.smaller import memory_advice, smaller_settings, words_of


def test_the_cheapest_come_first_and_the_batch_stays_as_large() -> None:
    recipe = {
        "trainer.precision": "32-true",
        "trainer.accumulate_grad_batches": 1,
        "model.gradient_checkpointing": False,
        "model.optimizer": "adamw",
        "data.batch_size": 6,
    }
    found = list(smaller_settings(recipe))
    assert found == [
        {"trainer.precision": "bf16-mixed"},
        {"model.gradient_checkpointing": True},
        {"model.optimizer": "adamw8bit"},
        {"data.batch_size": 3, "trainer.accumulate_grad_batches": 2},
        {"data.batch_size": 1, "trainer.accumulate_grad_batches": 6},
    ]
    assert "--trainer.precision bf16-mixed; --model.gradient_checkpointing true;" in memory_advice(
        recipe
    )


def test_what_is_recorded_is_given_up_before_weights_are_rounded() -> None:
    recipe = {"model.cuda_graphs": True, "model.quantization": None, "data.batch_size": 2}
    *_, recorded, _, _ = smaller_settings(recipe)
    assert words_of(recorded) == "--model.cuda_graphs false"
    assert {"model.cuda_graphs": False} not in list(smaller_settings({"model.cuda_graphs": False}))


def test_the_bases_weights_are_rounded_last_of_all() -> None:
    recipe = {"model.quantization": None, "data.batch_size": 2, "model.full_finetune": False}
    *_, eight, four = smaller_settings(recipe)
    assert (eight, four) == ({"model.quantization": "int8"}, {"model.quantization": "nf4"})
    assert words_of(four) == "--model.quantization nf4 (which rounds the base's weights)"
    of_half = {"trainer.precision": "bf16-mixed"}
    assert list(smaller_settings({**of_half, "model.quantization": "int8"})) == [four]
    assert list(smaller_settings({**of_half, "model.quantization": "nf4"})) == []
    whole = {**of_half, "model.quantization": None, "model.full_finetune": True}
    assert list(smaller_settings(whole)) == []


def test_what_is_small_already_is_not_proposed() -> None:
    small = {
        "trainer.precision": "bf16-mixed",
        "model.gradient_checkpointing": True,
        "model.optimizer": "adafactor",
        "data.batch_size": 1,
    }
    assert list(smaller_settings(small)) == []
    assert "data.resolution" in memory_advice(small)
