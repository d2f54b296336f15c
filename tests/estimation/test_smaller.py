from sdtune.estimation.smaller import memory_advice, smaller_settings


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


def test_what_is_small_already_is_not_proposed() -> None:
    small = {
        "trainer.precision": "bf16-mixed",
        "model.gradient_checkpointing": True,
        "model.optimizer": "adafactor",
        "data.batch_size": 1,
    }
    assert list(smaller_settings(small)) == []
    assert "data.resolution" in memory_advice(small)
