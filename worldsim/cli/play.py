"""`worldsim play` and `python play.py`: play a generated world in a window, or headless into a video file.

Here the window gets its company: an agent, the real game to play beside, and the user's own keys.

The window itself is worldsim.viewer, imported only when one is wanted. Trains and records nothing real.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import re
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import tyro

from worldsim.cli.beginnings import painted, read_beginning, say_verdict
from worldsim.errors import WorldsimError
from worldsim.rng import SEEDS
from worldsim.runtime.bundle import BUNDLE, SHIPPED, Bundle, open_world, shipped_worlds
from worldsim.runtime.imaginer import open_imaginer, shipped_imaginers
from worldsim.runtime.load import load_runtime
from worldsim.runtime.looks import Looks, looks_for
from worldsim.runtime.pictures import begun_with, fitted
from worldsim.runtime.savefile import Beginning, SavedPlay, load_play, only_begun
from worldsim.runtime.session import Session
from worldsim.viewer.capture import Capture
from worldsim.viewer.history import SECONDS
from worldsim.viewer.script import at_random, parse_actions, scripted
from worldsim_envs.registry import make_real, world_entry

if TYPE_CHECKING:
    from worldsim.viewer.playing import Extras
    from worldsim.viewer.twin import Twin
    from worldsim_policies.base import Policy

FRAMES = 300  # of a headless run, if nothing says otherwise


@dataclasses.dataclass(frozen=True)
class PlayConfig:
    """Play a generated world: python play.py --world doom-maze

    Attributes:
        file: a save file (.world) to go on from, where it was saved.
        prompt: paint a picture of these words, and begin with it.
        image: begin with this picture (.png, .jpg), fitted to the world's size.
        world: a shipped world by its name or title, of which the beginning is enough, or the folder of a bundle;
            without it, a gallery to choose from.
        start: which of the world's starts to begin at.
        seed: the same seed, start and keys give the same frames.
        record: write the generated frames to this video file, and start, seed and keys to a JSON file beside it.
        headless: no window; plays --actions, or at random by the seed, as fast as the machine can. Where the world
            ends, its next start follows.
        frames: how many frames a headless run generates; as many as --actions has, or 300, if not given.
        actions: what a headless run does, as in "up*30,noop*10"; then it stands idle.
        policy: let an agent play, and take over whenever you like: the name or folder of a trained policy, sticky or
            random; with --beside-real also scripted.
        beside_real: play the real game in a split screen, under the same keys, and see how far the two are apart.
        keys: a JSON file with keys of your own; your keys.json, if there is one, if not given.
        folder: where save files and films of the last seconds go.
        look: what the world is drawn in, one of its looks, if it has some: "night" for example.
        clip: what the key for a film of the last seconds makes.
        clip_seconds: how much of the last seconds such a film shows.
        clip_keys: show the world's buttons in such a film, lit while they are held.
        runtime: what runs the model; int8 is faster on a CPU and less exact, torch the reference.
        device: where it runs.
        smooth: scale smoothly rather than with crisp pixels.
        imaginer: what paints: the name of a shipped imaginer or the folder of one; if not given, the shipped one that
            draws the world and knows most of the words.
    """

    file: tyro.conf.Positional[Path | None] = None
    prompt: str | None = None
    image: Path | None = None
    world: str = ""
    start: int = 0
    seed: int = 0
    record: Path | None = None
    headless: bool = False
    frames: int | None = None
    actions: str = ""
    policy: str = ""
    beside_real: bool = False
    keys: Path | None = None
    folder: Path = Path()
    look: str = ""
    clip: Literal["mp4", "gif"] = "mp4"
    clip_seconds: float = 20.0
    clip_keys: bool = False
    runtime: Literal["onnx", "int8", "torch"] = "onnx"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    smooth: bool = False
    imaginer: str = ""


def play(config: PlayConfig, given: np.ndarray | None = None) -> None:
    """Play.

    Args:
        config: what was asked for.
        given: frames to begin with, uint8 `[T, H, W, 3]`, between which nothing was done.

    Raises:
        WorldsimError: for a world that can't be opened, a start or action it hasn't, no display, or a video that
            can't be written.
    """
    if not config.headless and (config.frames is not None or config.actions):
        raise WorldsimError("--frames and --actions are for --headless")
    if not 0 <= config.seed < SEEDS:
        raise WorldsimError(f"--seed {config.seed}: give 0 to 2**64 - 1")
    if config.headless and (config.file or config.policy or config.beside_real):
        raise WorldsimError("a save file, --policy and --beside-real are for the window, not for --headless")
    if not 0 < config.clip_seconds <= SECONDS:
        raise WorldsimError(f"--clip-seconds {config.clip_seconds:g}: give more than 0 and at most {SECONDS:g}")
    names = shipped_worlds()
    if not (config.world or names):
        raise WorldsimError("no world is installed. Give the folder of one: --world PATH")
    asked = find_world(config.world) if config.world else None
    check_beginning(config)
    look = config.look
    if config.prompt is not None:
        asked, given, told = painted(config.prompt, asked, config.imaginer, config.device, config.seed)
        look = look or told
    elif config.image:
        given = read_beginning(config.image, asked)
    if config.look:
        looks_for(open_world(asked or names[0]), config.look)
    previous = signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # unwinds, so that no half video is left
    try:
        if config.headless:
            play_headless(dataclasses.replace(config, look=look), open_world(asked or names[0]), given)
        else:
            play_in_window(config, asked, names, given, look)
    finally:
        signal.signal(signal.SIGTERM, previous)


def check_beginning(config: PlayConfig) -> None:
    """Refuse more than one thing to begin with.

    Raises:
        WorldsimError: which names them.
    """
    asked = {
        "a save file": config.file is not None,
        "--prompt": config.prompt is not None,
        "--image": config.image is not None,
        "--start": config.start != 0,
        "--beside-real": config.beside_real,
    }
    both = [name for name, is_asked in asked.items() if is_asked]
    if len(both) > 1 and ("--prompt" in both or "--image" in both):
        raise WorldsimError(f"{' and '.join(both[:2])} both say how play begins; give one of them")


def find_world(wanted: str) -> str:
    """The name of the one shipped world that `wanted` means, or the path of a folder as it is.

    A world's name and folders come first; else `wanted` begins, in any case, its name, its title or a word of them.

    Raises:
        WorldsimError: if none or several are meant.
    """
    names = shipped_worlds()
    if wanted in names or Path(wanted).exists():
        return wanted
    titles = {name: str(BUNDLE.read_manifest(SHIPPED / name)["spec"].get("title", "")) for name in names}
    begins = {name: [name, title, *re.split(r"\W+", f"{name} {title}")] for name, title in titles.items()}
    exact = [name for name in names if wanted.lower() in (name.lower(), titles[name].lower())]
    meant = exact or [name for name in names if any(b.lower().startswith(wanted.lower()) for b in begins[name])]
    if len(meant) != 1:
        listed = ", ".join(f"{name} ({titles[name]})" if titles[name] else name for name in meant or names)
        what = f"{wanted!r} means several worlds" if meant else f"no world {wanted!r}"
        raise WorldsimError(f"{what}: give one of {listed or '(none shipped)'}, or the folder of one")
    return meant[0]


def play_in_window(
    config: PlayConfig, asked: str | None, names: list[str], given: np.ndarray | None, look: str
) -> None:
    """Play in a window, until it is closed; `given` are the frames that play begins with in the world `asked` for, and
    `look` is what that is drawn in."""
    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
    from worldsim.viewer.playing import Playing
    from worldsim.viewer.prompt import PromptBox
    from worldsim.viewer.screen import Picture
    from worldsim.viewer.viewer import Viewer

    first = open_world(asked) if asked else None
    worlds = [*([first] if first else []), *(open_world(name) for name in names if name != asked)]
    imaginers = [open_imaginer(name) for name in ([config.imaginer] if config.imaginer else shipped_imaginers())]
    extras = make_extras(config, first, bool(imaginers))
    captures: list[Capture | None] = []
    session = functools.lru_cache(maxsize=1)(functools.partial(open_session, config))  # states are all that play keeps

    def opened(wanted: Bundle | Path | Picture) -> tuple[Bundle, SavedPlay | None]:
        """The world, and what is to be played again in it."""
        if isinstance(wanted, Bundle):
            return wanted, None
        if isinstance(wanted, Picture):
            world = world_called(wanted.world, worlds)
            return world, only_begun(begun_with(wanted.frames, world, config.seed), world)
        saved = load_play(wanted)
        return world_of(saved, worlds, wanted), saved

    def playing(wanted: Bundle | Path | Picture) -> Playing:
        """The screen of a world, a save file or a picture; the first one begins at --start and is recorded."""
        world, saved = opened(wanted)
        start, record = (0, None) if captures else (check_start(world, config.start), config.record)
        captures.append(Capture(record, world) if record else None)
        own = extras
        if isinstance(wanted, Picture) and wanted.look:
            own = dataclasses.replace(extras, look=wanted.look)
        screen = Playing(world, session, start, config.seed, config.smooth, captures[-1], saved, own)
        if isinstance(wanted, Picture):
            screen.judge(wanted.said)
        return screen

    begin: Bundle | Path | Picture | None = config.file or first
    if first:
        check_start(first, config.start)
        if given is not None:
            begin = Picture(first.spec.name, given, look=look)
            say_verdict(session(first), fitted(given[-1], first.spec))
    if config.file:  # refuse it before a window opens
        opened(config.file)

    def asked_look(world: str, text: str) -> tuple[str, str]:
        """The look that a text asks for in a world, and the text that is painted."""
        looks = Looks.open(world_called(world, worlds))
        return looks.asked(text) if looks else ("", text)

    prompt = PromptBox(imaginers, config.device, config.seed, asked_look) if imaginers else None
    with Viewer(worlds, playing, begin, prompt, functools.partial(open_session, config)) as viewer:
        viewer.run()
    if captures and captures[0]:
        print(captures[0].summary)


def make_extras(config: PlayConfig, world: Bundle | None, prompts: bool) -> Extras:
    """What goes with play in the window.

    Args:
        config: as it was asked for.
        world: the one asked for, to refuse at once what doesn't fit it.
        prompts: whether pictures can be painted of words.

    Raises:
        WorldsimError: for a policy or a game that is not there or does not fit, or a file of keys that can't be read.
    """
    from worldsim.viewer.bindings import load_bindings
    from worldsim.viewer.playing import Extras

    source = None
    if config.policy:
        from worldsim_policies.base import find_policy

        source = find_policy(config.policy)
        if source == "scripted" and not config.beside_real:
            raise WorldsimError("the scripted policy reads the exact state of a game: give --beside-real, too")

    def open_policy(bundle: Bundle) -> Policy:
        from worldsim_policies.base import make_policy

        assert source is not None
        return make_policy(source, bundle.spec, rows=1)

    extras = Extras(
        load_bindings(config.keys),
        config.folder,
        config.clip,
        config.clip_seconds,
        config.clip_keys,
        open_policy if source else None,
        open_twin if config.beside_real else None,
        prompts,
        config.look,
    )
    if world:
        extras.bindings.applied(world.spec)
        if source:
            open_policy(world)
        if config.beside_real:
            open_twin(world).close()
    return extras


def open_twin(world: Bundle) -> Twin:
    """The real game of a world, with the policy that recorded it to lead in.

    Raises:
        WorldsimError: if there is none, a package is missing, or it has other frames or actions.
    """
    from worldsim.models.retention import context
    from worldsim.viewer.twin import Twin
    from worldsim_policies.base import find_policy, make_policy

    game = make_real(world.spec.name, height=world.spec.height, width=world.spec.width)
    lead = "scripted" if world_entry(world.spec.name).explorer else "sticky"
    return Twin(
        game,
        make_policy(find_policy(lead), game.world, rows=1),
        context(world.sizes.window, world.sizes.retention),
        world.spec,
    )


def world_called(name: str, worlds: list[Bundle]) -> Bundle:
    """The world of that name.

    Raises:
        WorldsimError: if it is none of these.
    """
    for world in worlds:
        if world.spec.name == name:
            return world
    raise WorldsimError(f"there is no world {name!r} here to play a picture in. Give its folder: --world PATH")


def world_of(saved: SavedPlay, worlds: list[Bundle], path: Path) -> Bundle:
    """The world that a save file was played in.

    Raises:
        WorldsimError: if it is none of these.
    """
    for world in worlds:
        if world.digest == saved.digest:
            saved.check_fits(world)
            return world
    same = [world for world in worlds if world.spec.name == saved.world]
    if same:
        raise WorldsimError(
            f"{path} was saved in world {saved.world!r} with other weights or starts ({saved.digest[:12]}; here it is "
            f"{same[0].digest[:12]}). Give the folder of that world with --world, too."
        )
    raise WorldsimError(
        f"{path} was saved in world {saved.world!r}, which is not here. Give its folder with --world, too."
    )


def play_headless(config: PlayConfig, world: Bundle, given: np.ndarray | None) -> None:
    """Generate frames without a window, after those `given` or from a start, and say how fast it went."""
    check_start(world, config.start)
    script = parse_actions(config.actions, world.spec)
    frames = (len(script) or FRAMES) if config.frames is None else config.frames
    if frames < 1:
        raise WorldsimError(f"--frames {frames} must be at least 1")
    actions = scripted(script, world.spec.noop) if script else at_random(len(world.spec.actions), config.seed)
    with Capture(config.record, world) if config.record else contextlib.nullcontext() as capture:
        session, start = open_session(config, world), config.start
        beginning = Beginning(start, config.seed)
        if given is not None:
            beginning = begun_with(given, world, config.seed)
            say_verdict(session, fitted(given[-1], world.spec))
        looks = looks_for(world, config.look) if config.look else None
        if capture and looks:
            capture.change_look(config.look)
        state, began = None, time.perf_counter()
        for _ in range(frames):
            if state is None:
                state = beginning.state(session)
                if capture:
                    capture.begin(beginning.start, config.seed)
            action = next(actions)
            state, made = session.step(state, np.array([action]))
            if capture:
                capture.write((looks.draw(made.frame, config.look) if looks else made.frame)[0], action)
            if made.ended[0]:
                start = (start + 1) % len(world.starts)
                state, beginning = None, Beginning(start, config.seed)
    seconds = time.perf_counter() - began
    print(f"{world.spec.name}: {frames} frames in {seconds:.1f} s, {frames / seconds:.1f} frames a second")
    if capture:
        print(capture.summary)


def open_session(config: PlayConfig, world: Bundle) -> Session:
    """The world, ready to be played by the runtime and device asked for."""
    return Session(load_runtime(world, config.runtime, config.device))


def check_start(world: Bundle, start: int) -> int:
    """The start, if the world has it.

    Raises:
        WorldsimError: if it hasn't.
    """
    if not 0 <= start < len(world.starts):
        raise WorldsimError(f"world {world.spec.name!r} has no start {start}; it has 0 to {len(world.starts) - 1}")
    return start
