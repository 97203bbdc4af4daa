"""Slow, plain versions of the metrics, written from their definitions alone: loops, fractions, no shortcuts."""

import math
from fractions import Fraction

import numpy as np
from scipy.interpolate import interp1d
from scipy.optimize import brentq


def pairwise_auc(scores, labels):
    wins = Fraction(0)
    pairs = 0
    for s, y in zip(scores, labels):
        for t, z in zip(scores, labels):
            if y == 1 and z == 0:
                pairs += 1
                wins += Fraction(int(s > t)) + Fraction(int(s == t), 2)
    return float(wins / pairs)


def rates(scores, labels, threshold):
    """(FAR, FRR): accepted fakes, rejected reals."""
    fakes = [s for s, y in zip(scores, labels) if y == 0]
    reals = [s for s, y in zip(scores, labels) if y == 1]
    accepted = sum(s >= threshold for s in fakes)
    rejected = sum(s < threshold for s in reals)
    return accepted / len(fakes), rejected / len(reals)


def points(scores, labels):
    """ROC points (fpr, tpr) of falling threshold."""
    thresholds = [math.inf, *sorted(set(scores), reverse=True)]
    found = []
    for threshold in thresholds:
        far, frr = rates(scores, labels, threshold)
        found.append((far, 1 - frr))
    return found


def root_eer(scores, labels):
    """By root finding on the interpolated curve, as the definition says."""
    fpr, tpr = zip(*points(scores, labels))
    return brentq(lambda x: 1.0 - x - float(interp1d(fpr, tpr)(x)), 0.0, 1.0)


def step_ap(scores, labels):
    total, recall_before = 0.0, 0.0
    for threshold in sorted(set(scores), reverse=True):
        accepted = [y for s, y in zip(scores, labels) if s >= threshold]
        recall = sum(accepted) / sum(labels)
        total += (recall - recall_before) * sum(accepted) / len(accepted)
        recall_before = recall
    return total


def last_tpr(scores, labels, max_fpr):
    return [tpr for fpr, tpr in points(scores, labels) if fpr <= max_fpr][-1]


def grid_hter(scores, labels):
    best = None
    for step in range(10001):
        threshold = step / 10000
        far, frr = rates(scores, labels, threshold)
        if best is None or abs(frr - far) <= best[0]:
            best = (abs(frr - far), (far + frr) / 2, threshold)
    return best[1:]


def random_case(seed, size=60, share=0.4, digits=None):
    """Scores within 0..1 that overlap between the classes; ``digits`` makes ties."""
    rng = np.random.default_rng(seed)
    labels = (rng.random(size) < share).astype(int)
    labels[:2] = 0, 1
    scores = 1 / (1 + np.exp(-rng.normal(labels * 1.5 - 0.7, 1.2)))
    return (scores if digits is None else scores.round(digits)), labels


#: name -> (scores, labels)
CASES = {
    'plain': random_case(0),
    'ties': random_case(1, digits=1),
    'many ties': random_case(2, size=40, digits=0),
    'unbalanced, few reals': random_case(3, size=80, share=0.03),
    'unbalanced, few fakes': random_case(4, size=80, share=0.97),
    'many fakes': random_case(5, size=400, share=0.3, digits=2),
    'all equal': (np.full(9, 0.5), np.array([0, 1, 1, 0, 0, 0, 1, 0, 0])),
    'all zero': (np.zeros(5), np.array([0, 1, 1, 0, 0])),
    'all one': (np.ones(5), np.array([0, 1, 1, 0, 0])),
    'perfect': (np.array([0.1, 0.2, 0.3, 0.7, 0.9]), np.array([0, 0, 0, 1, 1])),
    'inverted': (np.array([0.9, 0.8, 0.2, 0.1]), np.array([0, 0, 1, 1])),
    'one of each': (np.array([0.4, 0.6]), np.array([0, 1])),
    'on the threshold': (np.array([0.5, 0.5, 0.4, 0.6, 0.5]), np.array([0, 1, 0, 1, 1])),
    'equal steps of ties': (np.repeat([0.9, 0.7, 0.5, 0.3], 2), np.tile([0, 1], 4)),
}
