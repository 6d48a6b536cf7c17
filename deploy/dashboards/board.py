"""A dashboard of rows, and what all of them share: variables, links to each other, the marks of a changed incumbent."""

from collections.abc import Sequence

import msgspec
from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import dashboard as models

from deploy.dashboards.panels import DATASOURCE
from deploy.dashboards.queries import MODEL

_TAG = "gateway"
_ANY = ".+"
_REFRESHED_EVERY = "30s"
_SERVES = f"gateway_incumbent_info{{{MODEL}}}"
_CHANGED_INCUMBENT = (
    f"({_SERVES} unless {_SERVES} offset $__interval) and on (instance, model) {_SERVES} offset $__interval"
)
"""The variant that answers, at the moment from which it does; none where nobody had answered for the model before."""


class Row(msgspec.Struct, frozen=True):
    """One question, and the panels that answer it."""

    question: str
    panels: Sequence[Builder[models.Panel]]


def board(uid: str, title: str, description: str, rows: Sequence[Row], *, since: str) -> models.Dashboard:
    """Return the dashboard, its panels numbered in reading order."""
    builder = builders.Dashboard(title).uid(uid).description(description).tags([_TAG]).editable()
    builder.time(since, "now").refresh(_REFRESHED_EVERY).timezone("browser")
    builder.tooltip(models.DashboardCursorSync.CROSSHAIR)
    builder.with_variable(builders.DatasourceVariable("datasource").label("Prometheus").type("prometheus"))
    builder.with_variable(_choice("instance", "Gateway", 'label_values(up{job="gateway"}, instance)'))
    builder.with_variable(
        _choice("model", "Model", 'label_values(gateway_incumbent_info{instance=~"$instance"}, model)')
    )
    builder.link(
        builders.DashboardLink("Dashboards")
        .type(models.DashboardLinkType.DASHBOARDS)
        .tags([_TAG])
        .include_vars(True)  # noqa: FBT003 - the SDK's own setter
        .keep_time(True)  # noqa: FBT003 - as above
    )
    builder.annotation(_PromotionMarks())
    for row in rows:
        builder.with_row(builders.Row(row.question))
        for panel in row.panels:
            builder.with_panel(panel)
    built = builder.build()
    for number, panel in enumerate(built.panels or (), start=1):
        panel.id_val = number
    return built


def _choice(name: str, label: str, query: str) -> builders.QueryVariable:
    variable = builders.QueryVariable(name).label(label).query(query).datasource(DATASOURCE)
    variable.refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED).sort(models.VariableSort.ALPHABETICAL_ASC)
    variable.multi(True).include_all(True).all_value(_ANY)  # noqa: FBT003 - the SDK's own setters
    return variable.current(models.VariableOption(selected=True, text="All", value="$__all"))


class _PromotionMarks(Builder[models.AnnotationQuery]):
    """Prometheus's own fields of an annotation: the SDK knows those that all data sources share."""

    def build(self) -> models.AnnotationQuery:
        return _PrometheusAnnotation(
            name="Incumbent changed",
            datasource=DATASOURCE,
            icon_color="purple",
            expr=_CHANGED_INCUMBENT,
        )


class _PrometheusAnnotation(models.AnnotationQuery):
    def to_json(self) -> dict[str, object]:
        own = {"titleFormat": "{{model}}: {{variant}} serves", "textFormat": "{{instance}}", "tagKeys": "model"}
        return {**super().to_json(), **own}
