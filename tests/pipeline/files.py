"""Small pipeline folders for tests: prompts, constitutions of the project, mock models."""

import json
from pathlib import Path

ROOT = Path(__file__).parents[2]

PIPELINE = """\
schema_version: 1
name: small
seed: 3
prompts: {{path: prompts.jsonl}}
stages:
  - kind: sample
    policies:
      - {{model: "{policy}", k: 3, params: {{max_tokens: 40}}}}
  - kind: judge
    constitution: {root}/constitutions/helpfulness.yaml
    judge: {{kind: pairwise, model: "{judge}", verdict: {verdict}}}
  - kind: judge
    constitution: {root}/constitutions/safety.yaml
    judge: {{kind: pairwise, model: "{judge}", verdict: {verdict}}}
  - kind: prefer
    axis: helpfulness
  - kind: prefer
    axis: safety
  - kind: export
  - kind: report
"""


def write(
    folder: Path,
    prompts: int = 5,
    policy: str = "mock:text",
    judge: str = "mock:text",
    verdict: str = "labels",
) -> Path:
    """Write a pipeline of mock models and its prompts; return the pipeline's path."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [{"prompt": f"What is {number} plus {number}?"} for number in range(prompts)]
    (folder / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    path = folder / "pipeline.yaml"
    path.write_text(PIPELINE.format(root=ROOT, policy=policy, judge=judge, verdict=verdict))
    return path
