"""Other words for what the toy box says of itself. Data only.

A block may be called a box only beside its colour: without one, the box is what toys are put into.
"""

from __future__ import annotations

from worldsim.data.synonyms import Synonyms
from worldsim.evals.permanence.scene import COLOURS

_COLOURS = {
    "cyan": ("turquoise", "light blue"),
    "magenta": ("pink", "purple", "fuchsia"),
}
_THINGS = {
    "ball": ("sphere", "circle", "round ball"),
    "balls": ("spheres", "circles"),
    "block": ("cube", "square"),
    "blocks": ("cubes", "squares"),
    "cone": ("triangle", "pyramid"),
    "cones": ("triangles", "pyramids"),
    "cross": ("plus", "plus sign"),
    "crosses": ("plus signs",),
    "toy": ("object", "thing"),
    "toys": ("objects", "things"),
    "big": ("large",),
    "small": ("little", "tiny"),
}
_BOXES = {
    f"{colour} {block}": tuple(
        f"{called} {other}" for called in (colour, *_COLOURS.get(colour, ())) for other in (box, *_THINGS[block], block)
    )
    for colour in COLOURS
    for block, box in (("block", "box"), ("blocks", "boxes"))
}
_PLACES = {
    "left of": ("to the left of", "on the left of", "on the left side of", "beside and to the left of"),
    "to the left of": ("left of", "on the left of", "on the left side of", "beside and to the left of"),
    "right of": ("to the right of", "on the right of", "on the right side of", "beside and to the right of"),
    "to the right of": ("right of", "on the right of", "on the right side of", "beside and to the right of"),
    "on the left": ("on the left side", "at the left", "on the left hand side"),
    "on the right": ("on the right side", "at the right", "on the right hand side"),
    "in the middle": ("in the centre", "in the center", "at the center"),
    "out of sight to the left": ("outside the picture on the left", "not in view, to the left"),
    "out of sight to the right": ("outside the picture on the right", "not in view, to the right"),
    "behind the screen": ("hidden behind the screen", "hidden by the screen"),
    "under a cup": ("hidden under a cup", "below a cup", "beneath a cup"),
}
_MOTIONS = {
    "rolling": ("moving", "going"),
    "moving": ("going", "rolling"),
    "falling": ("dropping", "falling down"),
    "bouncing": ("hopping", "bouncing up and down"),
}
_LOOKS = {
    "by day": ("during the day", "in daytime", "in bright light", "at daytime", "on a bright day", "a day scene"),
    "in daylight": ("by daylight", "in bright daylight", "in the light"),
    "it is day": ("it is daytime", "it is bright"),
    "at night": ("by night", "during the night", "at nighttime", "on a dark night", "a night scene"),
    "in the dark": ("in darkness", "while it is dark"),
    "it is night": ("it is dark", "it is nighttime"),
    "in ink": ("as an ink drawing", "in ink style", "in the style of ink"),
    "drawn in ink": ("as an ink drawing", "in the style of ink", "sketched in ink", "inked", "an ink drawing"),
    "in pastel": ("in pastels", "as a pastel drawing", "in pastel style", "in the style of pastel"),
    "in pastel colours": ("in pastel colors", "in soft colours", "in soft colors", "in pale colours"),
    "all is drawn in ink": ("everything is drawn in ink", "it is an ink drawing", "it is drawn in ink"),
    "all is in pastel": ("everything is in pastel", "it is a pastel drawing", "it is in pastel"),
    "day breaks": ("it gets bright", "the sun rises", "morning comes"),
    "it becomes day": ("it gets bright", "it turns to day", "it becomes bright"),
    "night falls": ("it gets dark", "darkness falls", "night comes"),
    "it becomes night": ("it gets dark", "it turns to night", "it becomes dark"),
    "turns to": ("changes to", "becomes"),
}
_SENTENCES = {
    "there is": ("we see", "i see", "here is", "the picture shows"),
    "there are": ("we see", "i see", "here are", "the picture shows"),
    "you can find": ("you see", "we see", "there is"),
    "the hand is empty": ("the hand holds nothing", "nothing is in the hand"),
    "closed": ("shut",),
    "half open": ("partly open",),
    "half down": ("partly down", "half way down"),
    "then": ("and then", "later", "after that"),
}

SYNONYMS = Synonyms(
    phrases={
        **_COLOURS,
        **_THINGS,
        **_BOXES,
        **_PLACES,
        **_MOTIONS,
        **_LOOKS,
        **_SENTENCES,
    },
    joins=(", ", " with ", " next to ", " beside ", " and also ", " together with "),
    contrasts=(
        COLOURS,
        ("ball", "block", "cone", "cross"),
        ("left", "right"),
        ("by day", "at night", "in ink", "in pastel"),
        ("in daylight", "in the dark", "drawn in ink"),
        ("it is day", "it is night", "all is drawn in ink", "all is in pastel"),
    ),
)
