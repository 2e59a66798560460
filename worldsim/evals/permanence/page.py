"""The page: a run as the sections of a report. Measures nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from worldsim.evals.permanence.calibration import Check, is_valid
from worldsim.evals.permanence.judge import GATES, LABELS, RIGHT
from worldsim.evals.permanence.results import Judged
from worldsim.evals.permanence.summary import STAGED, Cell, Trials, conditions, label_shares
from worldsim.evals.section import Curves, Figure, Section, Stack, Strip, Table, number
from worldsim.evals.statistics import NONE, Estimate

PROBES = {  # title, what is done, what it defeats
    "P1": ("Behind a screen", "The screen comes down for k frames, then goes up.", "no memory"),
    "P2": ("Moving behind a screen", "The same, and the target moves at constant speed.", "freezing"),
    "P3": ("Look away and back", "The camera turns or pans away for k frames, then back.", "a context window"),
    "P4": ("In a container", "A lid closes for k frames, then opens.", "copying visible cues"),
    "P4b": ("In a container that is carried", "The closed container is moved, then opened.", "copying visible cues"),
    "P5": ("Shell game", "Cups are swapped so many times, then lifted.", "a prior over places"),
    "P6": ("Interaction persists", "A toy is moved, painted or taken away, then out of sight for k frames.",
           "a reset to the original"),
    "P7": ("Count", "One to six objects are hidden for k frames.", "a mean image"),
}  # fmt: skip
ARM_NAMES = {
    "model": "the model",
    "cut": "memory cut",
    "control": "visible control",
    "codec": "true frames after encode-decode",
    "oracle": "the true simulator",
    "freeze": "last visible frame copied",
    "velocity": "constant velocity",
}
FRAME_KINDS = {"real": "real frames", "codec": "encoded and decoded", "one step": "first generated frame"}
MEASURES = {"kept": "there once, and of the right colour", "correct": "there once, of the right colour, in its place"}
SOON = 16  # hidden frames at most, where the way out of sight is what matters
Cells = Mapping[tuple[str, str, int | None, str], Estimate]


def sections(
    judged: Judged, checks: Sequence[Check], cells: Sequence[Cell], trials: Trials, strips: Mapping[str, Strip]
) -> list[Section]:
    """All sections, the overview first."""
    known: Cells = {(c.arm, c.probe, c.point, c.metric): c.estimate for c in cells}
    probes = [probe for probe in STAGED if ("model", probe, None, "right_strict") in known]
    found = [_overview(judged, checks, known, trials, probes)]
    found += [_probe(probe, judged, known, trials.where(probe=probe), strips.get(probe)) for probe in probes]
    return [*found, *_absent_and_impossible(known, trials, probes), _detector(checks)]


def _overview(judged: Judged, checks: Sequence[Check], known: Cells, trials: Trials, probes: list[str]) -> Section:
    columns = (
        "probe",
        "shortest",
        "longest",
        "right",
        "failed gates as wrong",
        "cut",
        "chance",
        "half-life",
        "of L",
        "gates passed",
    )
    rows = []
    for probe in probes:
        points = _points(known, probe)
        life, right = known.get(("model", probe, None, "half_life"), NONE), _at(known, probe, points[-1], "right")
        passed = float(trials.where(arm="model", probe=probe)["gates"].mean())
        rows.append(
            (
                f"{probe} {PROBES[probe][0]}",
                f"{number(_at(known, probe, points[0], 'right').value, '%')} at {points[0]}",
                f"{number(right.value, '%')} at {points[-1]}",
                number(known.get(("model", probe, None, "right"), NONE).value, "%"),
                number(known["model", probe, None, "right_strict"].value, "%"),
                number(known.get(("cut", probe, None, "right"), NONE).value, "%"),
                number(known["model", probe, None, "chance"].value, "%"),
                _life(life, trials.where(probe=probe)),
                number(life.value / judged.context) if judged.context and life.value in trials["k"] else "-",
                number(passed, "%"),
            )
        )
    shown = [p for p in probes if p != "P5" and ("model", p, None, "right") in known]
    lines = {p: _line(known, "model", p)[:2] for p in shown}
    survival = Curves("Right after k hidden frames", "k", "share right", lines, True, _context(judged), (0, 1.03))
    valid = "The detector is valid." if is_valid(checks) else "THE SUITE IS INVALID HERE: see the detector at the end."
    method = (
        "32 real frames, then k generated ones in which the targets are hidden by an action, then a reveal, by an "
        "action too; the first 3 frames after it are judged, by their median, with no neural judge. Shares are of the "
        "trials that passed all gates. "
    )
    notes = [f"{valid} L, the context the model sees: {judged.context or 'unknown'}; 95% intervals over scenes."]
    return Section("overview", "At a glance", method, [], [Table("Probes", columns, rows)], [survival], notes=notes)


def _probe(probe: str, judged: Judged, known: Cells, trials: Trials, strip: Strip | None) -> Section:
    title, what, defeats = PROBES[probe]
    points, mine = _points(known, probe), trials.where(arm="model")
    unit = "swaps" if probe == "P5" else "k"
    measure = "as many as there were" if probe == "P7" else MEASURES[RIGHT.get(probe, "correct")]
    section = Section(
        probe,
        f"{probe} {title}",
        f"{what} It defeats {defeats}. Right is: {measure}. {len(mine)} trials in {len(np.unique(mine['seed']))} "
        "scenes, each with its twins.",
    )
    for point in points:
        right = _at(known, probe, point, "right")
        arms = ", ".join(
            f"{ARM_NAMES[arm]} {number(known[arm, probe, point, 'right'].value, '%')}"
            for arm in ARM_NAMES
            if arm != "model" and (arm, probe, point, "right") in known
        )
        strict = number(_at(known, probe, point, "right_strict").value, "%")
        reference = f"failed gates as wrong {strict}; {arms}"
        section.figures.append(
            _figure(f"{probe}.right_{point}", f"{probe} right, {unit} = {point}", right, "%", reference)
        )
    chance = known["model", probe, None, "chance"].value
    for point in points:
        if probe == "P2":
            within, skill = (_at(known, probe, point, metric) for metric in ("within", "skill"))
            section.figures.append(_figure(f"P2.within_{point}", f"P2 within one radius, k = {point}", within, "%"))
            section.figures.append(_figure(f"P2.skill_{point}", f"P2 skill over freezing, k = {point}", skill))
        if probe in ("P4b", "P5"):
            right = _at(known, probe, point, "right")
            above = Estimate(right.value - chance, right.low - chance, right.high - chance, right.n, right.scenes)
            label = f"{probe} above chance ({number(chance, '%')}), {unit} = {point}"
            section.figures.append(_figure(f"{probe}.above_{point}", label, above, "%"))
        if probe == "P7":
            error = _at(known, probe, point, "count_error")
            section.figures.append(_figure(f"P7.count_{point}", f"P7 signed count error, k = {point}", error))
            off = Figure(f"P7.off_{point}", f"P7 mean count error without its sign, k = {point}", abs(error.value))
            section.figures.append(off)
    if probe == "P3":
        section.figures.extend(_ways(mine.present().gated()))
    section.figures.extend(_lasting(probe, known, trials))
    lines = {name: _line(known, arm, probe) for arm, name in ARM_NAMES.items() if (arm, probe, None, "right") in known}
    lines["chance"] = (np.array(points), np.full(len(points), chance))
    marks = {} if probe == "P5" else _context(judged)
    section.curves.append(Curves(f"{probe}: right", unit, "share right", lines, probe != "P5", marks, (0, 1.03)))
    section.stacks.append(_stack(f"{probe}: what became of them, by {unit}", mine, points))
    section.tables.append(_gates(known, probe))
    section.tables.extend(_by_condition(mine.present().gated()))
    if strip is not None:
        section.strips.append(strip)
    return section


def _ways(trials: Trials) -> list[Figure]:
    """Looking away by the way that was taken, where a world has several."""
    ways = conditions(trials).get("way", np.array([])) if len(trials) else np.array([])
    soon = trials["point"] <= SOON
    found = [(way, trials.keep((ways == way) & soon).mean("right")) for way in np.unique(ways)]
    return [_figure(f"P3.{way}", f"right, k up to {SOON}, way: {way}", estimate, "%") for way, estimate in found]


def _lasting(probe: str, known: Cells, trials: Trials) -> list[Figure]:
    life = known.get(("model", probe, None, "half_life"), NONE)
    loss = known.get(("model", probe, None, "memory_loss"), NONE)
    cut = known.get(("cut", probe, None, "right"), NONE)
    identity = known.get(("model", probe, None, "identity"), NONE)
    shown = _life(life, trials)
    low, high = (_life(life._replace(value=v), trials) for v in (life.low, life.high))
    figures = [
        Figure(
            f"{probe}.half_life", f"{probe} half-life", life.value, "", None, f"interval {low} … {high}", life.n, shown
        ),
        _figure(f"{probe}.exists", "existence recall", known.get(("model", probe, None, "exists"), NONE), "%"),
        _figure(f"{probe}.identity", "identity given existence", identity, "%"),
        _figure(f"{probe}.shape", "shape given existence", known.get(("model", probe, None, "shape"), NONE), "%"),
        _figure(f"{probe}.d_prime", "d', present against absent", known.get(("model", probe, None, "d_prime"), NONE)),
        _figure(f"{probe}.memory_loss", "memory-attributable loss", loss, "%", "the visible control minus hidden"),
        _figure(f"{probe}.cut", f"{probe} right with the memory cut", cut, "%"),
    ]
    return [figure for figure in figures if not math.isnan(figure.value)]


def _absent_and_impossible(known: Cells, trials: Trials, probes: Sequence[str]) -> list[Section]:
    absent = Section(
        "P8",
        "P8 Spontaneous appearance",
        "The twin of every trial in which the target never was. It defeats drawing objects always.",
    )
    for arm in ("model", "cut", "codec"):
        if (arm, "P8", None, "hallucination") in known:
            key = "P8.hallucination" if arm == "model" else f"P8.{arm}"
            label = f"P8 hallucination rate, {ARM_NAMES[arm]}"
            absent.figures.append(_figure(key, label, known[arm, "P8", None, "hallucination"], "%"))
    rows = [(f"{p} {PROBES[p][0]}", *_text(known.get(("model", p, None, "hallucination"), NONE))) for p in probes]
    absent.tables.append(Table("By probe", ("probe", "hallucination rate", "trials"), rows))
    found = [absent]
    if ("model", "P9", None, "right") in known:
        points = _points(known, "P9")
        surprise = Section(
            "P9",
            "P9 Violation of expectation",
            "Two true reveals of equal content: one possible here, the other in the scene's twin. Right is a larger "
            "denoising loss for the impossible one, or, for a model that offers none, a continuation nearer to the "
            "possible one. Chance is a half.",
            [_figure("P9.right", "P9 right, at all k", known["model", "P9", None, "right"], "%")],
        )
        for point in points:
            right = _at(known, "P9", point, "right")
            surprise.figures.append(_figure(f"P9.right_{point}", f"right, k = {point}", right, "%"))
        rows = []
        mine = trials.where(arm="model", probe="P9").gated()
        for against in np.unique(mine["against"]):
            rows.append((str(against), *_text(mine.where(against=against).mean("right"))))
        surprise.tables.append(Table("By what differs", ("probe and twin", "right", "trials"), rows))
        found.append(surprise)
    return found


def _detector(checks: Sequence[Check]) -> Section:
    valid = "valid" if is_valid(checks) else "INVALID"
    section = Section(
        "detector",
        f"The detector is {valid}",
        "Nearest palette colour in Lab, connected components, 0.3 to 3 times the expected area, sub-pixel centroid. "
        "Its threshold was set on other seeds and is frozen. Valid: at least 98% of whole objects found through the "
        "model's encoder and decoder (on real frames, where there is none), at most one false one in 100 frames.",
    )
    for check in checks:
        key = check.frames.replace(" ", "_")
        label = FRAME_KINDS[check.frames]
        recall, false = f"detector recall, {label}", f"detector false positives a frame, {label}"
        section.figures.append(_figure(f"detector.{key}_recall", recall, check.recall, "%"))
        section.figures.append(_figure(f"detector.{key}_false", false, check.false))
    return section


def _gates(known: Cells, probe: str) -> Table:
    rows = []
    for arm, name in ARM_NAMES.items():
        rates = [known.get((arm, probe, None, gate), NONE).value for gate in GATES]
        if arm in ("model", "codec") and not math.isnan(rates[0]):
            rows.append((name, *(number(rate, "%") for rate in rates)))
    columns = ("gates passed", "G0 seen before", "G1 stayed hidden", "G2 came back", "G3 background kept")
    return Table("", columns, rows)


def _by_condition(trials: Trials) -> list[Table]:
    tables = []
    for name, column in conditions(trials).items() if len(trials) else ():
        rows = [(value, *_text(trials.keep(column == value).mean("right"))) for value in np.unique(column)]
        if name not in ("k", "swaps") and len(rows) <= 8:
            tables.append(Table(f"By {name}", (name, "right", "trials"), rows))
    return tables


def _stack(title: str, trials: Trials, points: Sequence[int]) -> Stack:
    shares = [label_shares(trials.where(point=point)) for point in points]
    shown = [label for label in LABELS if label != "misled"]  # that is P9's
    parts = {label: np.array([share.get(label, 0.0) for share in shares]) for label in shown}
    return Stack(title, tuple(map(str, points)), parts)


def _line(known: Cells, arm: str, probe: str) -> tuple[np.ndarray, ...]:
    points = [point for point in _points(known, probe) if (arm, probe, point, "right") in known]
    estimates = [known[arm, probe, point, "right"] for point in points]
    columns = [np.array([getattr(e, name) for e in estimates]) for name in ("value", "low", "high")]
    return np.array(points), *(columns if arm == "model" else columns[:1])


def _points(known: Cells, probe: str) -> list[int]:
    return sorted({point for arm, p, point, _ in known if (arm, p) == ("model", probe) and point is not None})


def _at(known: Cells, probe: str, point: int, metric: str) -> Estimate:
    return known.get(("model", probe, point, metric), NONE)


def _life(life: Estimate, trials: Trials) -> str:
    """A half-life for people: never reached is longer than the longest time that could be judged."""
    if math.isnan(life.value):
        return "-"
    return f"{life.value:g}" if life.value in trials["k"] else f">{life.value - 1:g}"


def _context(judged: Judged) -> dict[str, float]:
    return {"L": float(judged.context)} if judged.context else {}


def _figure(key: str, label: str, estimate: Estimate, unit: str = "", reference: str = "") -> Figure:
    return Figure(key, label, estimate.value, unit, (estimate.low, estimate.high), reference, estimate.n)


def _text(estimate: Estimate) -> tuple[str, int]:
    return _figure("", "", estimate, "%").text(), estimate.n
