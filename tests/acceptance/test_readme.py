"""The README's snippets, run as written."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from service.configuration.command import check_file
from service.demo.local import running_service

README = Path(__file__).parents[2] / "README.md"


def test_the_curl_snippet_decides_reports_and_explains() -> None:
    (snippet,) = re.findall(r"```bash\n(.*?)```", README.read_text(), re.DOTALL)
    with running_service({}) as service:
        ran = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", snippet],
            env=os.environ | {"FORBEAR": service.url, "KEY": service.key},
            capture_output=True,
            text=True,
            check=True,
        )
    decoder, at, answers = json.JSONDecoder(), 0, []
    while at < len(ran.stdout.strip()):
        answer, at = decoder.raw_decode(ran.stdout, at)
        answers.append(answer)
        at += len(ran.stdout[at:]) - len(ran.stdout[at:].lstrip())
    sale, digest, decision, reported, record, supposed = answers
    assert ["spring_sale", "digest"] == [sale["id"], digest["id"]]
    assert decision["action"] in ("spring_sale", "digest", None)
    assert ["accepted"] == [result["status"] for result in reported["results"]]
    assert decision["propensity"] == record["decision"]["propensity"]
    assert ["not_sent"] == [event["type"] for event in record["events"]]
    assert 2.0 == supposed["decision"]["burden"]


def test_the_configuration_of_the_readme_is_in_order(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (text,) = re.findall(r"```yaml\n(.*?)```", README.read_text(), re.DOTALL)
    path = tmp_path / "forbear.yaml"
    path.write_text(text)
    assert 0 == check_file(path)
    told = capsys.readouterr().out
    assert "messages: 2 (1 with rules of their own)" in told
    assert "tag_caps offer:1/7d" in told
