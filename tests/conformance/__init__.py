"""What each option of the Trainer, each stock callback and each stock logger does here."""

import pytest

# what these assert is shown as a test's own assertions are
pytest.register_assert_rewrite(
    *(f"{__name__}.{each}" for each in ("checks", "trainer_checks", "callback_checks"))
)
