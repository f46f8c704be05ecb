"""The same engine over HTTP: an API, live progress and pages, for one owner of one output folder.

Owns what stands between a request and the verbs: routes, access, problems, events, pages. Leaves every
question of substance to the layers below; a handler reads its input, calls one of them and names the reply.
"""

from rlaif.service.app import build_app
from rlaif.service.context import Service

__all__ = ["Service", "build_app"]
