"""`metanas-agent install`, `metanas-agent bundles` and `metanas-agent rollback`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from metanas_agent.commands.state import add_state_option, state_of
from metanas_agent.printing import printable

if TYPE_CHECKING:
    from argparse import _SubParsersAction

    from metanas_agent.bundles import InstalledBundle


def add_bundle_commands(commands: _SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add all three."""
    install = commands.add_parser(
        "install",
        help="install a bundle of `metanas bundle`",
        description="Installs a bundle beside its older versions and makes it the current one. "
        "Nothing is changed before all its checksums were found right.",
    )
    install.add_argument("file", type=Path, metavar="BUNDLE")
    install.set_defaults(run=_install)
    bundles = commands.add_parser("bundles", help="list the installed bundles")
    bundles.add_argument("--json", action="store_true", help="print JSON")
    bundles.set_defaults(run=_bundles)
    rollback = commands.add_parser(
        "rollback", help="use the version of a bundle that was installed before the current one"
    )
    rollback.add_argument("name", metavar="NAME")
    rollback.set_defaults(run=_rollback)
    for command in (install, bundles, rollback):
        add_state_option(command)


def _install(options: argparse.Namespace) -> None:
    from metanas_agent.bundles import install

    version = install(state_of(options), options.file)
    name = version.folder.parent.name
    print(printable(f"{name} {version.version} is installed in {version.folder}"))


def _bundles(options: argparse.Namespace) -> None:
    from metanas_agent.bundles import installed

    found = installed(state_of(options))
    if options.json:
        print(json.dumps([_values(bundle) for bundle in found], indent=2))
        return
    for bundle in found:
        others = [each.version for each in bundle.versions if each != bundle.current]
        also = f"; also here: {', '.join(others)}" if others else ""
        print(f"{bundle.name} {bundle.current.version}{also}")
    if not found:
        print("no bundle is installed")


def _values(bundle: InstalledBundle) -> dict[str, object]:
    return {
        "name": bundle.name,
        "current": bundle.current.version,
        "folder": str(bundle.current.folder),
        "versions": [each.version for each in bundle.versions],
        "card": bundle.current.manifest.card,
    }


def _rollback(options: argparse.Namespace) -> None:
    from metanas_agent.bundles import roll_back

    version = roll_back(state_of(options), options.name)
    print(f"{options.name} {version.version} is the current version")
