"""What an adapter's header says of the data that it was trained on."""

from __future__ import annotations

__all__ = ["data_record"]


def data_record(data: object) -> dict[str, str]:
    """Describe data, the words of its subjects included, without any folder's name.

    Args:
        data: A data module that is set up, or None.

    Returns:
        Keys of the header -> their values.
    """
    pictures = getattr(getattr(data, "train_dataset", None), "pictures", None)
    described = {"num_train_images": None if pictures is None else len(pictures)}
    described |= {name: getattr(data, name, None) for name in ("resolution", "batch_size")}
    known = {name: value for name, value in described.items() if isinstance(value, int)}
    record = {f"sdtune.{name}": str(value) for name, value in known.items()}
    return {**record, **getattr(data, "adapter_record", {})}
