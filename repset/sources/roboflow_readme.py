"""What Roboflow writes about an export in README.roboflow.txt and README.dataset.txt: where it is from, what was done.

Both are free text with fixed sentences; whatever is not there is null.
"""

import re
from pathlib import PurePosixPath
from typing import Any

from repset.sources.tree import Tree

READMES = ("README.roboflow.txt", "README.dataset.txt")
_LARGEST = 1 << 16  # characters looked at
_LONGEST = 200  # characters of a fact

_FACTS: dict[str, str] = {
    "exported": r"exported via roboflow\.(?:com|ai) on (.+?)\s*$",
    "annotation": r"^(.+) (?:is|are) annotated in .+ format\.$",
    "format": r"^.+ (?:is|are) annotated in (.+) format\.$",
    "address": r"^(https://universe\.roboflow\.com/\S+)$",
    "licence": r"^License: (.+)$",
    "provided_by": r"^Provided by (.+)$",
}
_NUMBERS: dict[str, str] = {
    "images_stated": r"^The dataset includes (\d{1,9}) images\.$",
    "copies_stated": r"^The following augmentation was applied to create (\d{1,4}) versions of each source image:$",
}
_LISTS: dict[str, str] = {
    "preprocessing": r"^The following pre-processing was applied to each image:$",
    "augmentation": r"^The following augmentation was applied to create .+:$",
    "augmentation_of_boxes": r"^The following transformations were applied to the bounding boxes of each image:$",
}


def read_provenance(tree: Tree, names: list[str]) -> dict[str, Any] | None:
    """Facts of an export's two text files; None where there is neither."""
    texts = [tree.read(name) for wanted in READMES for name in names if PurePosixPath(name).name == wanted]
    return parse_provenance("\n".join(text.decode("utf-8", "replace") for text in texts)) if texts else None


def parse_provenance(text: str) -> dict[str, Any]:
    """Facts by name: `version` is the title line, lists are their bullet points.

    Returns: title, exported, annotation, format, address, licence, provided_by (text or None); images_stated,
        copies_stated (numbers or None); preprocessing, augmentation, augmentation_of_boxes (lists of sentences).
    """
    lines = [line.strip()[:_LONGEST] for line in text[:_LARGEST].splitlines()]
    facts: dict[str, Any] = {"title": next((line for line in lines if line), None)}
    facts |= {name: _first(pattern, lines) for name, pattern in _FACTS.items()}
    for name, pattern in _NUMBERS.items():
        found = _first(pattern, lines)
        facts[name] = None if found is None else int(found)
    for name, pattern in _LISTS.items():
        start = next((number for number, line in enumerate(lines) if re.search(pattern, line)), len(lines))
        points = []
        for line in lines[start + 1 :]:
            if not line.startswith("* "):
                break
            points.append(line[2:])
        facts[name] = points
    return facts


def _first(pattern: str, lines: list[str]) -> str | None:
    return next((match[1].strip() for line in lines if (match := re.search(pattern, line))), None)
