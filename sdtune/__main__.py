"""`python -m sdtune`, for launchers such as `torchrun -m -- sdtune fit --config RECIPE.yaml`."""

import sys

from sdtune.cli import main

if __name__ == "__main__":
    sys.exit(main())
