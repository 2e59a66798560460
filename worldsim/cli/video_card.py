"""The card of a world that was made of videos: what went in, what each code does, and whether it can be steered."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from worldsim.data.recording import Recording
from worldsim.evals import metrics
from worldsim.evals.section import Figure, Section
from worldsim.runtime.bundle import Bundle

if TYPE_CHECKING:
    from worldsim.models.autoencoder import Autoencoder

JUDGED = 256  # held-out frames
BLURRED, DEAF, GENIE = 26.0, 0.3, 1.9  # dB: below, it is said
FEW = 20_000  # frames
UNUSED = 0.002  # share of the changes
NAMED = "codes of actions"  # in a world's origin: names of the game's actions -> codes, where labels named them


def card_of(bundle: Bundle, recording: Recording, codes: Recording, autoencoder: Autoencoder, follows: Section) -> str:
    """The card as Markdown.

    Args:
        recording: what was imported. codes: the same with codes. follows: see `worldsim.cli.latent_actions`.
    """
    figures = {figure.key: figure for figure in follows.figures}
    sharp = _codec_psnr(recording, autoencoder)
    seconds = len(recording) / recording.spec.fps
    lines = [
        f"# {bundle.spec.title or bundle.spec.name}",
        "",
        f"Made of video by `worldsim from-video`, {_known(bundle)}. {len(recording):,} frames "
        f"({seconds / 60:.1f} minutes) in {len(recording.ends):,} clips, "
        f"{bundle.spec.width}x{bundle.spec.height} at {bundle.spec.fps:g} a second. Source: {bundle.origin['source']}; "
        f"licence: {bundle.origin['licence']}.",
        "",
        "## What came out",
        "",
        *(f"- {text}" for text in verdicts(sharp, figures, codes, recording)),
        "",
        "## Figures",
        "",
        "| figure | value |",
        "|---|---|",
        f"| encode-decode PSNR, held-out frames | {sharp:.1f} dB |",
        *(f"| {figure.label} | {figure.text()} |" for figure in follows.figures),
        "",
        follows.method,
        "",
        "## Codes",
        "",
        "| code | action | keys | share of changes | motion, pixels right and down |",
        "|---|---|---|---|---|",
        *_code_rows(codes, bundle),
        "",
    ]
    if codes.origin.get("camera"):
        lines += [
            "The camera moves: what is steered goes against the picture's motion, which the table has allowed for.",
            "",
        ]
    return "\n".join(lines)


def verdicts(sharp: float, figures: dict[str, Figure], codes: Recording, recording: Recording) -> list[str]:
    """What there is to say of it, the bad first."""
    counts = np.array(codes.origin["codes"])
    unused = int((counts < UNUSED * counts.sum()).sum())
    steers = next((f.value for key, f in figures.items() if key.startswith("actions.delta_psnr_random_4")), None)
    steers = steers if steers is not None else next((f.value for f in figures.values()), float("nan"))
    said = []
    if sharp < BLURRED:
        said.append(
            f"Blurred: even an encoded and decoded frame is only {sharp:.1f} dB from the real one. Train longer."
        )
    if not steers >= DEAF:
        said.append(f"It hardly follows its keys: {steers:.2f} dB between the codes that were read and random ones.")
    elif steers < GENIE:
        said.append(
            f"It follows its keys weakly: {steers:.2f} dB between the codes that were read and random ones; "
            f"Genie reports {GENIE} dB on its platformers."
        )
    else:
        said.append(f"It follows its keys: {steers:.2f} dB between the codes that were read and random ones.")
    if unused:
        said.append(f"{unused} of {len(counts)} codes are hardly ever read; their keys do little that was seen.")
    if len(recording) < FEW:
        said.append(f"Only {len(recording):,} frames went in: it knows these clips, and little else.")
    return said


def _known(bundle: Bundle) -> str:
    labels = bundle.origin.get("labels")
    return f"with the true actions of {labels} steps" if labels else "without any actions"


def _code_rows(codes: Recording, bundle: Bundle) -> list[str]:
    """A row for each code: the actions that play it, and their keys."""
    counts, spec = np.array(codes.origin["codes"]), bundle.spec
    named = bundle.origin.get(NAMED) or {action.name: code for code, action in enumerate(spec.actions)}
    rows = []
    for code in range(len(counts)):
        actions = [action for action in spec.actions if named[action.name] == code]
        keys = "; ".join(
            " + ".join("/".join(spec.keys[button]) for button in action.buttons) or "nothing pressed"
            for action in actions
        )
        right, down = codes.origin["motion"][code]
        share, names = counts[code] / max(counts.sum(), 1), ", ".join(action.name for action in actions) or "-"
        rows.append(f"| {code} | {names} | {keys or '-'} | {100 * share:.1f} % | {right:+.1f}, {down:+.1f} |")
    return rows


def _codec_psnr(recording: Recording, autoencoder: Autoencoder) -> float:
    from worldsim.train.autoencoder import reconstruct

    index = np.concatenate([np.arange(start, end) for start, end in recording.episodes("held-out")])
    chosen = index[np.linspace(0, len(index) - 1, min(JUDGED, len(index))).astype(int)]
    frames = np.stack([recording.frames[int(i)] for i in chosen])
    return float(metrics.psnr(reconstruct(autoencoder, frames), frames).mean())
