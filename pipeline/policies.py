"""Policies: published sets of rules, by the name of one that comes with Corgi or by the path of a YAML file.

select:
  policy: coyo700m
  rules:
    min_side: min_side >= 512      # in the place of the policy's rule of that name
    english: null                  # that rule is switched off
    red: contains(caption, 'red')  # one more, after the policy's
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import configs
from configs import UserError, nearest, read_yaml

FOLDER = Path(configs.__file__).parent / "policies"


def is_policy(word: str) -> bool:
    """Tell whether this is the name of a policy that comes with Corgi, or looks like the path of one."""
    return word.endswith((".yaml", ".yml")) or (FOLDER / f"{word}.yaml").is_file()


def read_policy(policy: str) -> dict[str, Any]:
    """Return the rules of a policy. Raises UserError where there is none of that name, or no such file."""
    if "/" in policy or policy.endswith((".yaml", ".yml")):
        return read_yaml(Path(policy))
    known = {file.stem: file for file in FOLDER.glob("*.yaml")}
    if policy not in known:
        raise UserError(f"there is no policy {policy!r}{nearest(policy, known)}; or give the path of a YAML file")
    return read_yaml(known[policy])


def combined(policy: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Return the rules of a policy with one's own: those of the same name take the other's place, null takes it out.

    Raises UserError where there is nothing to switch off.
    """
    for name, rule in own.items():
        if rule is None and name not in policy:
            raise UserError(f"rules.{name} is null, but there is no such rule to switch off{nearest(name, policy)}")
    return {name: rule for name, rule in {**policy, **own}.items() if rule is not None}
