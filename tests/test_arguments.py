import inspect

from sdtune import ConceptsDataModule, LoRAStyleModule, StyleDataModule, SubjectDataModule
from sdtune._arguments import whole_signature


class _Base:
    def __init__(self, made: int, *, seed: int = 1, rate: float = 2.0) -> None:
        pass


class _Middle(_Base):
    def __init__(self, rank: int = 4, **kwargs) -> None:
        super().__init__(rank, **kwargs)


class _End(_Middle):
    def __init__(self, name: str, rate: float = 3.0, **kwargs) -> None:
        super().__init__(rate=rate, **kwargs)


class _Closed(_Base):
    def __init__(self, name: str) -> None:
        super().__init__(1)


def test_arguments_come_from_as_far_up_as_they_are_handed_on():
    found = whole_signature(_End, hidden=("made",))
    assert str(found) == ("(name: str, rate: float = 3.0, *, rank: int = 4, seed: int = 1)")
    assert list(whole_signature(_Closed).parameters) == ["name"]


def test_a_class_shows_its_own_argument_that_children_fill_in():
    assert list(whole_signature(_Base, hidden=("made",)).parameters) == ["made", "seed", "rate"]


def test_what_data_modules_share_is_declared_once_and_shown_by_all():
    shared = {"resolution", "crop", "buckets", "flip", "caption_dropout", "cache_dir", "seed"}
    own = {StyleDataModule: "folder", SubjectDataModule: "instance_dir"}
    for cls, first in {**own, ConceptsDataModule: "concepts", LoRAStyleModule: "base"}.items():
        parameters = inspect.signature(cls).parameters
        assert next(iter(parameters)) == first
        assert not {"checks", "method", "kwargs"} & set(parameters)
        if cls is not LoRAStyleModule:
            assert shared <= set(parameters)
            assert not shared & set(inspect.signature(cls.__init__).parameters)
    assert "concepts" not in inspect.signature(SubjectDataModule).parameters
    sizes = [inspect.signature(cls).parameters["batch_size"].default for cls in own]
    assert sizes == [6, 1]
