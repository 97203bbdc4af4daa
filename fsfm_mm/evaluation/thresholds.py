"""A decision threshold from source data, to be frozen before any target set is looked at."""

from __future__ import annotations

import numpy as np

from fsfm_mm.evaluation.functional import accepted_counts, check_both_classes, check_scores

CRITERIA = ('eer', 'fpr', 'fpr_on_reals')


def candidate_thresholds(scores: np.ndarray) -> np.ndarray:
    """Every threshold that separates the scores differently, rising: midpoints, and one beyond either end.

    The first accepts all; the last, just above the greatest score, accepts none. Midpoints rather than
    observed scores leave room on both sides for scores that were not seen.
    """
    values = np.unique(scores)
    low, high = values[:-1], values[1:]
    middle = low + (high - low) / 2
    middle = np.where(middle > low, middle, high)  # neighbouring floats have nothing between them
    return np.concatenate([values[:1], middle, [np.nextafter(values[-1], np.inf)]])


def select_threshold(
    scores: np.ndarray, labels: np.ndarray, criterion: str = 'eer', rate: float = 0.01
) -> float:
    """Choose a threshold; a sample is taken for real when its score is at or above it.

    Args:
        scores: P(real) of source samples (n,), frames or videos as the threshold is to be used.
        labels: 1 real, 0 fake (n,).
        criterion: ``eer``: least |FRR - FAR|, of ties the least FRR + FAR, then the highest. ``fpr``: the
            lowest that takes at most ``rate`` of the fakes for real. ``fpr_on_reals``: the highest that takes
            at most ``rate`` of the reals for fake.
        rate: Of the two fixed-rate criteria, 0..1.

    Raises:
        ValueError: For wrong input, an unknown criterion, or a class missing that the criterion needs.
    """
    if criterion not in CRITERIA:
        raise ValueError(f'criterion must be one of {CRITERIA}, found {criterion!r}')
    if not 0 <= rate <= 1:
        raise ValueError(f'rate must be within 0..1, found {rate}')
    if criterion == 'eer':
        check_both_classes(scores, labels, None, 'the EER threshold')
    scores, labels = check_scores(scores, labels)
    accepted = [count[::-1] for count in accepted_counts(scores, labels, np.ones(scores.size))[:2]]
    num_reals, num_fakes = accepted[0][0], accepted[1][0]
    rejected_reals, accepted_fakes = num_reals - accepted[0], accepted[1]
    needed = {'fpr': ('fakes', num_fakes), 'fpr_on_reals': ('reals', num_reals)}.get(criterion)
    if needed and not needed[1]:
        raise ValueError(f'criterion {criterion!r} needs {needed[0]}, found none among {scores.size} samples')
    candidates = candidate_thresholds(scores)
    if criterion == 'fpr':
        return float(candidates[accepted_fakes / num_fakes <= rate][0])
    if criterion == 'fpr_on_reals':
        return float(candidates[rejected_reals / num_reals <= rate][-1])
    # whole numbers over the common denominator: ties are exact
    frr, far = rejected_reals * num_fakes, accepted_fakes * num_reals
    best = np.lexsort((-candidates, frr + far, np.abs(frr - far)))[0]
    return float(candidates[best])
