"""The report as one HTML file with the pictures in it."""

from __future__ import annotations

import cv2
import numpy as np

from fsfm_mm.doctor.report import Report, Sample
from fsfm_mm.doctor.scanning import Source
from fsfm_mm.text import few
from fsfm_mm.visualization import HtmlPage, contact_sheet, label_legend, overlay_labels

#: Side of the pictures in pixels.
SIZE = 160
#: So many failures and pairs are shown; all are in the JSON report.
MAX_BROKEN, MAX_PAIRS, MAX_FILES = 200, 60, 50


def report_page(report: Report, source: Source) -> HtmlPage:
    """Put the page together.

    Args:
        report: What was found.
        source: Reads the pictures of the report's samples.
    """
    page = HtmlPage(f'Check of {report.root}')
    for fact in report.facts:
        page.text(fact)
    page.text(report.verdict(), 'error' if report.failed() else 'ok')
    page.heading('Findings')
    for finding in report.sorted_findings():
        files = few(finding.files, MAX_FILES, '; and {} more in the JSON report', '; ')
        page.item(finding.level, f'{finding.check}: {finding.message}', files)
    if not report.findings:
        page.text('Nothing to complain of.')
    _tables(page, report)
    _broken(page, report, source)
    _pairs(page, report, source)
    _samples(page, report, source)
    return page


def _tables(page: HtmlPage, report: Report) -> None:
    page.heading('Counts')
    for table in report.tables:
        page.table(table.header, table.rows, table.title)
    if report.shares:
        shares = {name.replace('_', ' '): share for name, share in report.shares.items()}
        page.bars(shares, label_legend(), 'share of the pixels with each label, over all maps')
    if report.separations:
        caption = (
            'AUC of a small classifier on each property alone: 50% tells nothing of the class, 100% tells it'
        )
        page.bars(report.separations, {}, caption)


def _broken(page: HtmlPage, report: Report, source: Source) -> None:
    if not report.broken:
        return
    page.heading(f'Failures ({len(report.broken)})')
    page.figures([(_picture(source, sample), sample.name) for sample in report.broken[:MAX_BROKEN]])
    if len(report.broken) > MAX_BROKEN:
        page.text(f'{len(report.broken) - MAX_BROKEN} more are in the JSON report.')


def _pairs(page: HtmlPage, report: Report, source: Source) -> None:
    if not report.lookalikes:
        return
    page.heading('Near-duplicates')
    figures = []
    for first, second in report.lookalikes[:MAX_PAIRS]:
        shown = [_picture(source, sample) for sample in (first, second)]
        both = [picture for picture in shown if picture is not None]
        image = contact_sheet([both], size=None, gap=0) if both else None
        figures.append((image, f'{first.name} = {second.name}'))
    page.figures(figures)
    if len(report.lookalikes) > MAX_PAIRS:
        page.text('There are more; the JSON report has all.')


def _samples(page: HtmlPage, report: Report, source: Source) -> None:
    page.heading(f'Samples ({len(report.samples)}, evenly spread)')
    if report.shares:
        page.legend(label_legend())
    page.figures([(_picture(source, sample, overlay=True), sample.name) for sample in report.samples])


def _picture(source: Source, sample: Sample, overlay: bool = False) -> np.ndarray | None:
    """A picture in RGB, beside it its map where there is a fitting one; None where it cannot be shown."""
    if sample.index is None:
        return None
    opened = source.read(sample.index)
    if opened.image is None:
        return None
    image = cv2.cvtColor(opened.image, cv2.COLOR_BGR2RGB)
    shown = [image]
    if overlay and opened.labels is not None and opened.labels.shape == image.shape[:2]:
        shown.append(overlay_labels(image, opened.labels))
    return contact_sheet([shown], size=SIZE, gap=0)
