"""The Grafana dashboards as typed code; `python -m deploy.dashboards` writes them to `deploy/grafana/dashboards`."""
