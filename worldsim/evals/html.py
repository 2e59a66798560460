"""The HTML page of a report: self-contained, its pictures inside. Knows jinja2; measures nothing."""

from __future__ import annotations

import base64

from worldsim.errors import require
from worldsim.evals.plots import film, plot, stacked
from worldsim.evals.report import Report
from worldsim.evals.section import number

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{{ title }}</title>
<style>
 body { font: 15px/1.5 system-ui, sans-serif; max-width: 1100px; margin: 2rem auto; padding: 0 1rem; color: #222; }
 table { border-collapse: collapse; margin: 1rem 0; } th, td { padding: .2rem .8rem; text-align: right; }
 th:first-child, td:first-child { text-align: left; } tr { border-bottom: 1px solid #ddd; }
 caption { text-align: left; font-weight: 600; }
 .note { color: #777; } .missed { color: #c00; } .met { color: #087f5b; }
 .plots { display: flex; flex-wrap: wrap; gap: 1rem; } img { max-width: 100%; }
 .strip { image-rendering: pixelated; width: 100%; }
</style></head><body>
<h1>{{ title }}</h1>
<p class="note">{% for name, value in facts.items() %}{{ name }}: {{ value }}<br>{% endfor %}</p>
{% if verdicts %}<table><caption>Targets</caption><tr><th>figure</th><th>reached</th><th>wanted</th><th></th></tr>
{% for t in verdicts %}<tr><td>{{ t.label }}</td><td>{{ t.reached }}</td><td>{{ t.wanted }}</td>
<td class="{{ 'met' if t.met else 'missed' }}">{{ 'met' if t.met else 'missed' }}</td></tr>{% endfor %}
</table>{% endif %}
{% for s in sections %}<h2>{{ s.title }}</h2><p>{{ s.method }}</p>
{% for note in s.notes %}<p class="note">{{ note }}</p>{% endfor %}
{% if s.figures %}<table><tr><th>figure</th><th>value</th><th>reference</th></tr>
{% for f in s.figures %}<tr><td>{{ f.label }}</td><td>{{ f.text() }}</td><td>{{ f.reference }}</td></tr>{% endfor %}
</table>{% endif %}
{% for t in s.tables %}<table><caption>{{ t.title }}</caption>
<tr>{% for c in t.columns %}<th>{{ c }}</th>{% endfor %}</tr>
{% for row in t.rows %}<tr>{% for v in row %}<td>{{ number(v) }}</td>{% endfor %}</tr>{% endfor %}</table>{% endfor %}
<div class="plots">{% for c in s.curves %}
<img alt="{{ c.title }}" src="data:image/png;base64,{{ plot(c) }}">{% endfor %}{% for c in s.stacks %}
<img alt="{{ c.title }}" src="data:image/png;base64,{{ stacked(c) }}">{% endfor %}</div>
{% for strip in s.strips %}<p>{{ strip.title }}
<span class="note">{{ strip.rows | join(' / ') }}; frames {{ strip.captions | join(' ') }}</span></p>
<img class="strip" alt="{{ strip.title }}" src="data:image/png;base64,{{ film(strip) }}">{% endfor %}
{% endfor %}</body></html>
"""


def render(report: Report) -> str:
    """The page.

    Raises:
        WorldsimError: if jinja2 or matplotlib is not installed.
    """
    jinja2 = require("jinja2", "eval")
    require("matplotlib", "eval")

    def encode(data: bytes) -> str:
        return base64.b64encode(data).decode()

    template = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined).from_string(PAGE)
    page: str = template.render(
        title=report.title,
        facts=report.facts,
        sections=report.sections,
        verdicts=report.verdicts,
        number=number,
        plot=lambda curves: encode(plot(curves)),
        stacked=lambda stack: encode(stacked(stack)),
        film=lambda strip: encode(film(strip)),
    )
    return page
