"""The build step that pyproject.toml cannot say: recipes and picture sets go into the package.

They lie at the top of the checkout, where people edit them; a wheel holds copies in sdtune/shipped.
An editable installation has none and reads the checkout's own.
"""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent
# notebooks, the paper's results and nano's own training belong to the checkout alone
PATTERNS = ("recipes/*.yaml", "recipes/sd14/*.yaml", "recipes/sdxl/*.yaml", "datasets/*/*")


class BuildWithShipped(build_py):
    """Build the package, with what comes with it."""

    def run(self) -> None:
        """Copy the package's files, then recipes and picture sets."""
        super().run()
        for source, target in self._shipped().items():
            self.mkpath(str(Path(target).parent))
            self.copy_file(source, target, preserve_mode=False)

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        """List what is written."""
        return [*super().get_outputs(include_bytecode), *self._shipped().values()]

    def get_output_mapping(self) -> dict[str, str]:
        """Map what is written to what it is a copy of."""
        return super().get_output_mapping() | {new: old for old, new in self._shipped().items()}

    def _shipped(self) -> dict[str, str]:
        if self.editable_mode:
            return {}
        root = Path(self.build_lib, "sdtune", "shipped")
        found = (path for pattern in PATTERNS for path in sorted(ROOT.glob(pattern)))
        return {str(path): str(root / path.relative_to(ROOT)) for path in found if path.is_file()}


setup(cmdclass={"build_py": BuildWithShipped})
