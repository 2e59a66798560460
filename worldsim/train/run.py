"""What a run was trained for, beside its weights: `run.json`. `worldsim export` reads there how the world is played."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from worldsim import atomic
from worldsim.models.sampling import Sampling
from worldsim.safe_read import read_json, reading

FILE = "run.json"
FORMAT = 1


@dataclasses.dataclass(frozen=True)
class RunRecord:
    """How what was trained is to be played.

    Attributes:
        recipe: name of the recipe.
        sampling: how frames are sampled, as they were in training.
        ends, beginnings, shown: see `worldsim.train.recipes.Recipe`.
    """

    recipe: str = ""
    sampling: Sampling = dataclasses.field(default_factory=Sampling)
    ends: float = 0.0
    beginnings: bool = False
    shown: int = 0

    def write(self, folder: Path) -> None:
        """Write it into the folder of the run."""
        fields = dataclasses.asdict(self)
        text = json.dumps({"format": FORMAT, **fields.pop("sampling"), **fields}, indent=1)
        atomic.write_text(folder / FILE, text + "\n")

    @classmethod
    def read(cls, folder: Path) -> RunRecord:
        """What `write` wrote; the defaults where nothing was written.

        Raises:
            WorldsimError: if the file is cut, or of another format.
        """
        path = folder / FILE
        if not path.exists():
            return cls()
        way_out = "Train again into this folder."
        content = read_json(path, way_out)
        with reading(path, way_out):
            if content.pop("format") != FORMAT:
                raise ValueError("it is of another format")
            sampling = Sampling.from_json(content)
            return cls(sampling=sampling, **{k: v for k, v in content.items() if k not in dataclasses.asdict(sampling)})
