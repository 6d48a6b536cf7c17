"""How a panel looks here, once for all: what is left to a dashboard is what it asks and what the answer means."""

from collections.abc import Mapping, Sequence
from typing import Protocol, Self, TypeVar

import msgspec
from grafana_foundation_sdk.builders import bargauge, common, heatmap, prometheus, stat, statetimeline, timeseries
from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.variants import Dataquery
from grafana_foundation_sdk.models import common as looks
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models.heatmap import HeatmapColorMode
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

GREEN, YELLOW, ORANGE, RED, GREY, BLUE = "green", "yellow", "orange", "red", "text", "blue"
SECONDS, BYTES, SHARE, COUNT = "s", "bytes", "percentunit", "short"
REQUESTS_PER_S, TOKENS_PER_S = "reqps", "suffix: tok/s"

Steps = Sequence[tuple[float | None, str]]
"""Colours by the value that each begins at; the first begins below all."""

Words = Mapping[int, tuple[str, str]]
"""What a value is called, and its colour."""

DATASOURCE = models.DataSourceRef(type_val="prometheus", uid="${datasource}")
_ROW_HEIGHT = 8
_STAT_HEIGHT = 4
_PLAIN: Steps = ((None, BLUE),)


class Query(msgspec.Struct, frozen=True):
    expr: str
    legend: str = ""
    exemplars: bool = False


class _Panel(Protocol):
    """What the SDK's builders of panels share; they have no class in common."""

    def title(self, title: str) -> Self: ...
    def description(self, description: str) -> Self: ...
    def datasource(self, datasource: models.DataSourceRef) -> Self: ...
    def span(self, w: int) -> Self: ...
    def height(self, h: int) -> Self: ...
    def unit(self, unit: str) -> Self: ...
    def thresholds(self, thresholds: Builder[models.ThresholdsConfig]) -> Self: ...
    def with_target(self, target: Builder[Dataquery]) -> Self: ...


_P = TypeVar("_P", bound=_Panel)


def lines(
    title: str,
    description: str,
    *queries: Query,
    unit: str,
    width: int = 8,
    stacked: bool = False,
    limit: float | None = None,
) -> Builder[models.Panel]:
    """Draw each series over time; `limit` is a line that it should not cross."""
    steps: Steps = _PLAIN if limit is None else ((None, GREEN), (limit, RED))
    panel = _asking(timeseries.Panel(), title, description, queries, unit=unit, width=width, steps=steps)
    panel.height(_ROW_HEIGHT).min(0).line_width(1).show_points(looks.VisibilityMode.NEVER)
    panel.color_scheme(builders.FieldColor().mode(models.FieldColorModeId.PALETTE_CLASSIC_BY_NAME))
    panel.fill_opacity(30 if stacked else 10)
    if stacked:
        panel.stacking(common.StackingConfig().mode(looks.StackingMode.NORMAL))
    if limit is not None:
        panel.thresholds_style(common.GraphThresholdsStyleConfig().mode(looks.GraphTresholdsStyleMode.DASHED))
    panel.legend(
        common.VizLegendOptions()
        .display_mode(looks.LegendDisplayMode.TABLE)
        .placement(looks.LegendPlacement.BOTTOM)
        .show_legend(True)  # noqa: FBT003 - the SDK's own setter
        .calcs(["lastNotNull", "max"])
    )
    return panel.tooltip(
        common.VizTooltipOptions().mode(looks.TooltipDisplayMode.MULTI).sort(looks.SortOrder.DESCENDING)
    )


def number(
    title: str,
    description: str,
    *queries: Query,
    unit: str = COUNT,
    width: int = 4,
    height: int = _STAT_HEIGHT,
    steps: Steps = _PLAIN,
    words: Words | None = None,
    empty: str = "no data",
) -> Builder[models.Panel]:
    """Show the newest value, large, or the word and colour that `words` has for it."""
    panel = _asking(stat.Panel(), title, description, queries, unit=unit, width=width, steps=steps)
    panel.height(height).no_value(empty).reduce_options(_newest()).color_mode(looks.BigValueColorMode.VALUE)
    panel.text_mode(looks.BigValueTextMode.VALUE_AND_NAME if queries[0].legend else looks.BigValueTextMode.VALUE)
    panel.graph_mode(looks.BigValueGraphMode.NONE if words else looks.BigValueGraphMode.AREA)
    return panel.mappings([_value_map(words)]) if words else panel


def name(title: str, description: str, query: Query, *, width: int, empty: str) -> Builder[models.Panel]:
    """Show the series' legend: the value says nothing."""
    panel = _asking(stat.Panel(), title, description, (query,), unit=COUNT, width=width, steps=_PLAIN)
    panel.height(_STAT_HEIGHT).no_value(empty).reduce_options(_newest()).color_mode(looks.BigValueColorMode.NONE)
    return panel.text_mode(looks.BigValueTextMode.NAME).graph_mode(looks.BigValueGraphMode.NONE)


def bars(
    title: str,
    description: str,
    *queries: Query,
    unit: str,
    width: int = 8,
    steps: Steps = _PLAIN,
    highest: float | None = None,
) -> Builder[models.Panel]:
    """Set the newest values side by side."""
    panel = _asking(bargauge.Panel(), title, description, queries, unit=unit, width=width, steps=steps)
    panel.height(_ROW_HEIGHT).min(0).reduce_options(_newest())
    panel.display_mode(looks.BarGaugeDisplayMode.BASIC).orientation(looks.VizOrientation.HORIZONTAL)
    return panel if highest is None else panel.max(highest)


def heat(title: str, description: str, query: Query, *, unit: str, width: int = 8) -> Builder[models.Panel]:
    """Show a histogram over time; the query's series are its buckets."""
    panel = _panel(heatmap.Panel(), title, description, unit=unit, width=width).height(_ROW_HEIGHT)
    panel.with_target(_target(0, query).format(PromQueryFormat.HEATMAP))
    panel.color(heatmap.HeatmapColorOptions().mode(HeatmapColorMode.SCHEME).scheme("Oranges").steps(64))
    return panel.y_axis(heatmap.YAxisConfig().unit(unit)).exemplars_color("rgba(255,0,255,0.7)")


def states(
    title: str,
    description: str,
    *queries: Query,
    width: int = 8,
    words: Words,
) -> Builder[models.Panel]:
    """Show from when to when each series had which of the words."""
    panel = _asking(statetimeline.Panel(), title, description, queries, unit=COUNT, width=width, steps=_PLAIN)
    panel.height(_ROW_HEIGHT).mappings([_value_map(words)]).fill_opacity(70).line_width(0)
    return panel.show_value(looks.VisibilityMode.AUTO).row_height(0.8).merge_values(True)  # noqa: FBT003 - the SDK's own


def _asking(
    panel: _P, title: str, description: str, queries: Sequence[Query], *, unit: str, width: int, steps: Steps
) -> _P:
    _panel(panel, title, description, unit=unit, width=width)
    for position, query in enumerate(queries):
        panel.with_target(_target(position, query))
    thresholds = [models.Threshold(value=value, color=colour) for value, colour in steps]
    return panel.thresholds(builders.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(thresholds))


def _panel(panel: _P, title: str, description: str, *, unit: str, width: int) -> _P:
    return panel.title(title).description(description).datasource(DATASOURCE).unit(unit).span(width)


def _target(position: int, query: Query) -> prometheus.Dataquery:
    target = prometheus.Dataquery().expr(query.expr).legend_format(query.legend or "__auto").range()
    return target.ref_id(chr(ord("A") + position)).exemplar(query.exemplars).datasource(DATASOURCE)


def _newest() -> common.ReduceDataOptions:
    return common.ReduceDataOptions().calcs(["lastNotNull"]).values(False)  # noqa: FBT003 - the SDK's own setter


def _value_map(words: Words) -> models.ValueMap:
    return models.ValueMap(
        options={
            str(value): models.ValueMappingResult(text=word, color=colour, index=position)
            for position, (value, (word, colour)) in enumerate(words.items())
        }
    )
