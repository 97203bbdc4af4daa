"""Who wins where a card and a user differ: the card over a config; over what was typed nobody, it is refused."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from fsfm_mm.checkpoints.card import ModelCard, same_fact, show_fact
from fsfm_mm.checkpoints.model_settings import (
    FREE,
    WRITTEN_IN,
    Settings,
    merged,
    plain_settings,
    settings_facts,
    value_at,
    with_heads,
    with_statistics,
)
from fsfm_mm.files.broken import reading
from fsfm_mm.settings.data import flat

#: The option that lets a typed setting win over a card, as the sentences name it.
OPTION = '--override-card'
#: Facts that the shapes of the weights fix.
FIXED = frozenset(('patch_size', 'embed_dim', 'depth'))
#: How a note begins on what the user let win.
OVERRIDDEN = 'the card was overridden'


@dataclasses.dataclass(frozen=True)
class Agreement:
    """A model's settings, once a card was asked.

    Attributes:
        model: What to build: plain values.
        taken: One sentence for each fact in which the card won over the config.
        overridden: One sentence for each in which the user won over the card.
    """

    model: Settings
    taken: tuple[str, ...] = ()
    overridden: tuple[str, ...] = ()


def refuse_or_note(contradictions: Sequence[str], override: bool, option: str = OPTION) -> tuple[str, ...]:
    """Notes on contradictions that the user wants.

    Raises:
        ValueError: With all of them, and the option that would allow them, where he did not say so.
    """
    if contradictions and not override:
        raise ValueError(
            f'{"; ".join(contradictions)}. Leave the setting out to use what the card says, or add {option}.'
        )
    return tuple(f'{OVERRIDDEN}: {sentence}' for sentence in contradictions)


def typed_for(typed: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """The typed settings below a prefix, such as ``model.``, by their names after it, down to single values."""
    return {
        name[len(prefix) :]: value for name, value in flat(dict(typed)).items() if name.startswith(prefix)
    }


def agree(
    card: ModelCard,
    config: Mapping[str, Any] | None = None,
    typed: Mapping[str, Any] | None = None,
    override: bool = False,
    where: str = 'the checkpoint',
) -> Agreement:
    """The settings with which a checkpoint's model is built.

    The card's ``model`` is what is built, or the config's with all that the card knows of it. What the user typed
    is put in; where that gives the model other outputs than the card says, it is refused.

    Args:
        card: The checkpoint's card; one that knows nothing leaves the config's model as it is.
        config: A config's ``model``, with what was typed in it; None where there is none.
        typed: What the user himself said of the model: names with dots, without ``model.``, and values.
        override: Let what was typed win.
        where: What the card belongs to, for the sentences.

    Raises:
        ValueError: One sentence: neither card nor config says how to build the model; a typed setting contradicts
            the card, naming both; the settings cannot be built.
    """
    typed = dict(typed or {})
    if not config and card.model is None:
        raise ValueError(
            f'{where} has no card that says how to build its model (settings of the model, statistics, input size): '
            'name the config that trained it.'
        )
    base = card.model if card.model is not None else plain_settings(with_card(config or {}, card))
    wanted = merged(base, typed)
    if wanted.get('data_preprocessor'):
        wanted = plain_settings(wanted)
    notes = refuse_or_note(contradictions(base, wanted, typed, where), override)
    return Agreement(wanted, differences(config, wanted, where), notes)


def with_card(model: Mapping[str, Any], card: ModelCard) -> Settings:
    """A config's model with the facts of a card in it: statistics, sizes, heads."""
    changed = dict(model)
    if card.mean is not None and card.std is not None and changed.get('data_preprocessor'):
        stated = _facts_or_none({'data_preprocessor': changed['data_preprocessor']}) or {}
        # what is equal but for rounding stays: the config's numbers are the exact ones
        if not all(same_fact(name, getattr(card, name), stated.get(name)) for name in ('mean', 'std')):
            changed['data_preprocessor'] = with_statistics(changed['data_preprocessor'], card.mean, card.std)
    if changed.get('backbone'):
        backbone = dict(changed['backbone'])
        for key, value in (('img_size', card.input_size), ('patch_size', card.patch_size)):
            if value is not None and key in backbone:
                backbone[key] = list(value) if isinstance(value, tuple) else value
        changed['backbone'] = with_heads(backbone, card.num_heads) if card.num_heads else backbone
    return changed


def contradictions(
    base: Mapping[str, Any], wanted: Mapping[str, Any], typed: Mapping[str, Any], where: str
) -> list[str]:
    """One sentence for each typed setting that gives another model than ``base``; raises where no weights fit it."""
    names = [name for name in typed if not FREE & set(name.split('.'))]
    if not names:
        return []
    told: dict[tuple[str, ...], list[str]] = {}
    ours, theirs = settings_facts(wanted), settings_facts(base)
    for fact, places in WRITTEN_IN.items():
        if fact in theirs and not same_fact(fact, theirs[fact], ours.get(fact)):
            by = tuple(name for name in names if name.startswith(places))
            told.setdefault(by, []).append(fact)
    found = []
    for by, facts in told.items():
        setting = ' '.join(f'model.{name}={typed[name]!r}' for name in by) or 'another setting'
        means, says = (
            ', '.join(f'{fact} {show_fact(fact, values.get(fact))}' for fact in facts)
            for values in (ours, theirs)
        )
        found.append(f'{setting} means {means}, but the card of {where} says {says}')
        if FIXED & set(facts):
            raise ValueError(f'{"; ".join(found)}: the weights fit no other. Leave the setting out.')
    written = tuple(place for places in WRITTEN_IN.values() for place in places)
    for name in names:
        before = value_at(base, name)
        if not name.startswith(written) and not same_fact(name, before, typed[name]):
            found.append(f'model.{name}={typed[name]!r} was set, but the card of {where} says {before!r}')
    return found


def differences(config: Mapping[str, Any] | None, taken: Mapping[str, Any], where: str) -> tuple[str, ...]:
    """One sentence on the facts in which a config's model is another than the one that is taken, or none."""
    theirs = _facts_or_none(config or {})
    with reading(where, ': its model cannot be built'):  # a card's settings may be anybody's
        ours = settings_facts(taken)
    found = [
        f'{fact} {show_fact(fact, ours[fact])} for {show_fact(fact, theirs[fact])}'
        for fact in WRITTEN_IN
        if theirs and fact in ours and fact in theirs and not same_fact(fact, ours[fact], theirs[fact])
    ]
    return (f'taken from the card of {where}, not from the config: {", ".join(found)}',) if found else ()


def _facts_or_none(model: Mapping[str, Any]) -> dict[str, Any] | None:
    """Facts of settings; None where they cannot be built, e.g. with statistics in a file that is not here."""
    try:
        return settings_facts(model)
    except (ValueError, TypeError, KeyError):
        return None
