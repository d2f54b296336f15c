"""Fine-tune Stable Diffusion to a style or a subject, and measure how well it went.

The public names are imported when they are first used: `import sdtune` loads neither torch nor
diffusers.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sdtune._prompt_fields import Subject
    from sdtune.adapters.pipeline import load_pipeline
    from sdtune.callbacks.adapter_checkpoint import AdapterCheckpoint
    from sdtune.callbacks.evaluation import EvaluationCallback
    from sdtune.callbacks.hyperparameters import Hyperparameters
    from sdtune.callbacks.picture_losses import PictureLosses
    from sdtune.callbacks.progress import Progress
    from sdtune.callbacks.resume_checkpoint import ResumeCheckpoint
    from sdtune.callbacks.sample_grid import SampleGrid
    from sdtune.data.concept import Concept
    from sdtune.data.concepts import ConceptsDataModule
    from sdtune.data.style import StyleDataModule
    from sdtune.data.subject import SubjectDataModule
    from sdtune.models.loading import load
    from sdtune.models.stable_diffusion import StableDiffusion
    from sdtune.report.run_report import write_report
    from sdtune.techniques.dreambooth import DreamBoothModule
    from sdtune.techniques.lora_style import LoRAStyleModule
    from sdtune.techniques.multi_concept import MultiConceptModule
    from sdtune.techniques.pivotal_tuning import PivotalTuningModule
    from sdtune.techniques.textual_inversion import TextualInversionModule

__version__ = "0.1.0"

__all__ = [
    "AdapterCheckpoint",
    "Concept",
    "ConceptsDataModule",
    "DreamBoothModule",
    "EvaluationCallback",
    "Hyperparameters",
    "LoRAStyleModule",
    "MultiConceptModule",
    "PictureLosses",
    "PivotalTuningModule",
    "Progress",
    "ResumeCheckpoint",
    "SampleGrid",
    "StableDiffusion",
    "StyleDataModule",
    "Subject",
    "SubjectDataModule",
    "TextualInversionModule",
    "load",
    "load_pipeline",
    "write_report",
]

_MODULES = {
    "AdapterCheckpoint": "sdtune.callbacks.adapter_checkpoint",
    "Concept": "sdtune.data.concept",
    "ConceptsDataModule": "sdtune.data.concepts",
    "DreamBoothModule": "sdtune.techniques.dreambooth",
    "EvaluationCallback": "sdtune.callbacks.evaluation",
    "Hyperparameters": "sdtune.callbacks.hyperparameters",
    "LoRAStyleModule": "sdtune.techniques.lora_style",
    "PictureLosses": "sdtune.callbacks.picture_losses",
    "MultiConceptModule": "sdtune.techniques.multi_concept",
    "PivotalTuningModule": "sdtune.techniques.pivotal_tuning",
    "Progress": "sdtune.callbacks.progress",
    "ResumeCheckpoint": "sdtune.callbacks.resume_checkpoint",
    "SampleGrid": "sdtune.callbacks.sample_grid",
    "StableDiffusion": "sdtune.models.stable_diffusion",
    "StyleDataModule": "sdtune.data.style",
    "Subject": "sdtune._prompt_fields",
    "SubjectDataModule": "sdtune.data.subject",
    "TextualInversionModule": "sdtune.techniques.textual_inversion",
    "load": "sdtune.models.loading",
    "load_pipeline": "sdtune.adapters.pipeline",
    "write_report": "sdtune.report.run_report",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module `sdtune` has no attribute `{name}`")
    value = getattr(import_module(_MODULES[name]), name)
    globals()[name] = value  # found at once from now on
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
