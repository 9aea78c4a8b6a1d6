"""Tolerances as settings: by how much a column may differ, by channel or account and by layer.

What settles has none: the books follow it to the last minor unit, and a difference that is let pass would stay on the
channel's receivable for good. A fee that is let pass is booked as the bill has it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from hutong.errors import ConfigurationError
from hutong.reconciliation.layers import LAYERS, LayerDefinition
from hutong.reconciliation.model import Layer
from hutong.reconciliation.rows import MONEY_COLUMNS

_SETTING = "HUTONG_RECON_TOLERANCES"
_MOST = 1_000_000
_EXACT = "settled"

Tolerances = Mapping[str, Mapping[Layer, Mapping[str, int]]]
"""By channel or the public id of an account, by layer and by column, in minor units."""


def read_tolerances(given: Mapping[str, Mapping[str, Mapping[str, int]]]) -> Tolerances:
    """Return the settings of tolerances.

    Errors:
        ConfigurationError: there is no such layer, its column may not differ, or the amount is out of its bounds; the
            error names the field.
    """
    read: dict[str, dict[Layer, dict[str, int]]] = {}
    for party, layers in given.items():
        of_party = read.setdefault(party, {})
        for name, columns in layers.items():
            if name not in set(Layer):
                raise ConfigurationError(f"{_SETTING}: `{party}.{name}` is not a layer")
            layer = Layer(name)
            allowed = [column for column in MONEY_COLUMNS if column in LAYERS[layer].compared and column != _EXACT]
            for column, most in columns.items():
                field = f"{_SETTING}: `{party}.{name}.{column}`"
                if column not in allowed:
                    known = ", ".join(allowed) or "none is allowed here"
                    raise ConfigurationError(f"{field} is not a column that may differ: {known}")
                if not 0 <= most <= _MOST:
                    raise ConfigurationError(f"{field} must be from 0 to {_MOST} minor units")
            of_party[layer] = dict(columns)
    return read


def tolerated(definition: LayerDefinition, channel: str, account: str, settings: Tolerances) -> LayerDefinition:
    """Return a layer with the tolerances that are set for an account, or else for its channel.

    Args:
        account: Its public id.
    """
    setting = settings.get(account, settings.get(channel, {}))
    return replace(definition, tolerance=setting[definition.layer]) if definition.layer in setting else definition
