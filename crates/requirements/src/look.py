"""Says what an environment has of what is required.

Usage: python -I -c CODE site requirement…; ``site`` is a directory of further packages or empty.
The environment's own come before those. Prints one JSON object: ``distributions`` of the
environment by name, ``unmet`` requirements with the version found, ``invalid`` ones, and whether
``pip`` is there.
"""

import importlib.metadata
import importlib.util
import json
import re
import sys

try:
    from packaging.requirements import InvalidRequirement, Requirement
except ImportError:
    try:
        from pip._vendor.packaging.requirements import InvalidRequirement, Requirement
    except ImportError:
        Requirement = None


def normal(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def installed(**where):
    found = {}
    for distribution in importlib.metadata.distributions(**where):
        try:
            name, version = distribution.metadata["Name"], distribution.version
        except Exception:
            # What has no readable metadata is not known to installers either.
            continue
        if isinstance(name, str) and isinstance(version, str):
            found.setdefault(normal(name), distribution)
    return found


def look_at(text, extra):
    """Adds what of a requirement, and of what that requires, is not there."""
    wanted = Requirement(text)
    if wanted.marker is not None and not wanted.marker.evaluate({"extra": extra}):
        return
    name = normal(wanted.name)
    distribution = have.get(name)
    if distribution is None:
        unmet.append({"requirement": text, "found": None})
        return
    if not wanted.specifier.contains(distribution.version, prereleases=True):
        unmet.append({"requirement": text, "found": f"{name} {distribution.version}"})
        return
    for own in ("", *wanted.extras):
        if (name, own) not in seen:
            seen.add((name, own))
            for needed in distribution.requires or ():
                look_at(needed, own)


site, *requirements = sys.argv[1:]
environment = installed()
have = {**installed(path=[site]), **environment} if site else environment
unmet, invalid, seen = [], [], set()
for text in requirements:
    if Requirement is None:
        # Nobody here can read versions: only what the site was made for is taken to be there.
        if not site:
            unmet.append({"requirement": text, "found": None})
        continue
    try:
        Requirement(text)
    except InvalidRequirement as error:
        invalid.append(f"{text!r} is no requirement (PEP 508): {str(error).splitlines()[0]}")
    else:
        look_at(text, "")
print(
    json.dumps(
        {
            "distributions": {name: found.version for name, found in environment.items()},
            "unmet": unmet,
            "invalid": invalid,
            "has_pip": importlib.util.find_spec("pip") is not None,
        }
    )
)
