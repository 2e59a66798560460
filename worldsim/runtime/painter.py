"""Painter: words -> a picture to begin with, by an imaginer's graphs in ONNX Runtime. Imports no torch.

    painter = Painter(open_imaginer())
    picture = painter.paint("a red ball and a green box, at night")        # uint8 [H, W, 3]

The first picture that it paints is what `worldsim.runtime.imagine` makes of the same words and seed, up to rounding;
where the imaginer can tell which is the best, it paints some and keeps that. Clips, and what begins with pictures,
are that module's.

B pictures, S tokens, V numbers of a token, K words, H x W pixels.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnxruntime

from worldsim.cpu import usable_cores
from worldsim.errors import WorldsimError
from worldsim.models.words import MOST_WORDS, split_words
from worldsim.rng import SEEDS, frame_noise
from worldsim.runtime.base import Device
from worldsim.runtime.imaginer import GRAPHS, SCORE, ImaginerBundle, PictureSize
from worldsim.runtime.onnx import MOST_THREADS, load_graph, providers
from worldsim.runtime.sampler_defaults import SamplerDefaults

MOST_LETTERS = 2000  # of a prompt
BEST_OF, MOST_PAINTED = 16, 64  # pictures of which one is kept: if nothing else is asked for, and at most


class Painter:
    """Paints pictures of the worlds that an imaginer knows.

    Args:
        imaginer: opened.
        device: "auto", "cpu" or "cuda".
        threads: of a pass; 0 for one a core, at most `MOST_THREADS`.

    Raises:
        WorldsimError: if the device is not there, or a graph does not load.
    """

    def __init__(self, imaginer: ImaginerBundle, device: Device = "auto", threads: int = 0):
        self.imaginer = imaginer
        self._threads, self._providers = threads or min(MOST_THREADS, usable_cores()), providers(device)
        self._graphs = {name: (imaginer.graph(name), used) for name, used in imaginer.graph_weights.items()}
        self._weights = {name: onnxruntime.OrtValue.ortvalue_from_numpy(w) for name, w in imaginer.weights().items()}
        self._sessions: dict[str, onnxruntime.InferenceSession] = {}

    def paint(
        self,
        text: str,
        world: str = "",
        steps: int = 0,
        guidance: float | None = None,
        seed: int = 0,
        best_of: int = 0,
        progress: Callable[[int, int], None] = lambda *_: None,
    ) -> np.ndarray:
        """A picture of what is told.

        Args:
            text: plain words; those it doesn't know are read as one unknown word.
            world: one that the imaginer draws; the first of them if empty.
            steps: denoising passes; 0 for as many as the imaginer is made for.
            guidance: how much it leans on the words; 1 for no more than was learned, None for as it is made for.
            seed: the same seed gives the same picture.
            best_of: pictures that are painted, of which the one that shows most of the text is kept; 0 for 16, or for 1
                if the imaginer can't tell.
            progress: called before each pass with how many are done, and how many there are; may raise to stop.

        Returns:
            uint8 RGB `[H, W, 3]`, of the size of that world's frames.

        Raises:
            WorldsimError: for a text without words or with too many, another world, numbers out of bounds, or several
                pictures if the imaginer can't tell which is the best.
        """
        check_prompt(text)
        size = self.imaginer.size_of(world or self.imaginer.world)
        usual = self.imaginer.defaults
        how = SamplerDefaults(steps or usual.steps, usual.guidance if guidance is None else guidance)
        if usual.guidance == 1 != how.guidance:
            raise WorldsimError(f"this imaginer leans on words by itself; leave a guidance of {guidance:g} out")
        if not 0 <= seed < SEEDS:
            raise WorldsimError(f"seed {seed}: give 0 or more")
        if not 0 <= best_of <= MOST_PAINTED or (best_of > 1 and not self.imaginer.scores):
            able = f"give 1 to {MOST_PAINTED}" if self.imaginer.scores else "this imaginer can't tell; leave it out"
            raise WorldsimError(f"the best of {best_of} pictures: {able}")
        denoise, picture = (f"{graph}-{size.name}" for graph in GRAPHS)
        text = self.imaginer.vocabulary.in_world(world or self.imaginer.world, text)
        words = self.imaginer.vocabulary.tokens([text, ""] if usual.guidance != 1 else [text])
        levels = np.arange(how.steps + 1, dtype=np.float32) / np.float32(how.steps)
        count = best_of or (BEST_OF if self.imaginer.scores else 1)
        noisy = np.stack([frame_noise(seed, number, (size.tokens, size.token_width)) for number in range(count)])
        for i in range(how.steps):
            progress(i, how.steps)
            (noisy,) = self.run(denoise, noisy, levels[i], levels[i + 1], words, np.float32(how.guidance))
        (painted,) = self.run(picture, self._best(noisy, text, size))
        if painted.dtype != np.uint8 or painted.shape != (size.height, size.width, 3):
            raise self._fails(picture, "run", "its outputs are not those of this imaginer")
        return size.frame(np.asarray(painted))

    def _best(self, painted: np.ndarray, text: str, size: PictureSize) -> np.ndarray:
        """The tokens of that one of some pictures `[B, S, V]` that shows most of the text."""
        if len(painted) == 1:
            return painted[0]
        (given,) = self.run(f"{SCORE}-{size.name}", painted, self.imaginer.vocabulary.tokens([text]))
        return np.asarray(painted[int(np.argmax(given))])

    def run(self, graph: str, *inputs: Any) -> list[Any]:
        """Run one of the graphs, loaded when it is first needed.

        Raises:
            WorldsimError: if ONNX Runtime can't.
        """
        if graph not in self._sessions:
            data, names = self._graphs[graph]
            try:
                weights = {name: self._weights[name] for name in names}
                self._sessions[graph] = load_graph(data, weights, self._threads, self._providers)
            except Exception as error:  # ONNX Runtime's own errors share no base class but this
                raise self._fails(graph, "load", error) from error
        session = self._sessions[graph]
        try:
            names = [known.name for known in session.get_inputs()]
            outputs: list[Any] = session.run(None, dict(zip(names, map(np.asarray, inputs), strict=True)))
        except Exception as error:
            raise self._fails(graph, "run", error) from error
        return outputs

    def _fails(self, graph: str, verb: str, error: object) -> WorldsimError:
        reason = " ".join(str(error).split())[:300]
        return WorldsimError(
            f"ONNX Runtime {onnxruntime.__version__} does not {verb} {self.imaginer.path / graph}.onnx ({reason}). "
            "Export the imaginer again, or pip install -U onnxruntime."
        )


def check_prompt(text: str) -> None:
    """Refuse what no picture can be painted of.

    Raises:
        WorldsimError: for a text without words, or with more letters or words than are read.
    """
    if len(text) > MOST_LETTERS:
        raise WorldsimError(f"a prompt of {len(text):,} letters; at most {MOST_LETTERS:,} are read")
    words = len(split_words(text))
    if words > MOST_WORDS:
        raise WorldsimError(f"a prompt of {words} words; at most {MOST_WORDS} are read")
    if not words:
        raise WorldsimError("a prompt without words: say what there is to see, as in: a red ball, at night")


def unknown_words(imaginer: ImaginerBundle, text: str, most: int = 20) -> str:
    """What to say of the words of a prompt that an imaginer doesn't know; "" if it knows all."""
    unknown = imaginer.vocabulary.unknown(text)[:most]
    return f"words that it doesn't know, and reads as something unknown: {', '.join(unknown)}" if unknown else ""
