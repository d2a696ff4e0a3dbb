"""`kerbline city iota-provision`: what an IoT Agent has to know beforehand, as JSON for its API."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from kerbline.config import Config, Iota

_FILE = click.Path(path_type=Path)


@click.command(name="iota-provision")
@click.argument("config", type=_FILE)
@click.option("--agent", help="The name of its [[iota]]; not needed where there is one.")
@click.option("--services", "only_services", is_flag=True, help="The body of POST /iot/services.")
@click.option("--devices", "only_devices", is_flag=True, help="The body of POST /iot/devices.")
@click.option("--at-most", type=click.IntRange(1), help="Devices a body; each body in a line.")
@click.option("--with-key", is_flag=True, help="With the key itself, which the agent needs.")
def provision(
    config: Path,
    *,
    agent: str | None,
    only_services: bool,
    only_devices: bool,
    at_most: int | None,
    with_key: bool,
) -> int:
    """Print what to provision at an IoT Agent JSON for the assets and devices of CONFIG.

    Without --services or --devices: both, as one object of "services" and "devices".
    """
    from kerbline.agent.city.sinks import secret
    from kerbline.assets import kept, registry
    from kerbline.cli.claims import with_joined
    from kerbline.config import load
    from kerbline.north.iota import provision as made
    from kerbline.north.ngsi_ld.models import city_of

    loaded = with_joined(load(config))
    chosen = _chosen(loaded, agent)
    known = registry.empty(loaded)
    known.take(kept.read(loaded.gateway.state_dir))
    key = secret(chosen.api_key_file, "iota.api_key_file") if with_key else made.WITHHELD
    everything = chosen.personal == "all"
    found = made.entities(loaded, city_of(loaded, known), telegrams(loaded), everything=everything)
    both = only_services == only_devices
    if both and at_most is None:
        _say([{**made.services(key), **made.devices(found, known, key)}])
    else:
        size = at_most or max(len(found), 1)
        bodies = [made.services(key)] if both or only_services else []
        if both or only_devices:
            parts = range(0, len(found), size)
            bodies += [made.devices(found[at : at + size], known, key) for at in parts]
        _say(bodies, lines=at_most is not None)
    if not with_key:
        click.echo(f"the key is left out ({made.WITHHELD}): an agent needs --with-key", err=True)
    return 0


def _say(bodies: Sequence[Mapping[str, object]], *, lines: bool = False) -> None:
    for body in bodies:
        click.echo(json.dumps(body, ensure_ascii=False, indent=None if lines else 2))


def _chosen(config: Config, name: str | None) -> Iota:
    agents = {each.name: each for each in config.agents}
    if name is None and len(agents) == 1:
        return next(iter(agents.values()))
    if name not in agents or name is None:
        raise click.UsageError(f"--agent is one of {', '.join(agents) or 'none: no [[iota]]'}")
    return agents[name]


def telegrams(config: Config) -> Mapping[str, Sequence[str]]:
    """By asset, the values that serial devices' profiles give it."""
    found: dict[str, list[str]] = {}
    if config.serials:
        from kerbline.config import serial_profile

        for device in config.serials:
            for asset, name in serial_profile.values(device):
                if name not in found.setdefault(asset, []):
                    found[asset].append(name)
    return found
