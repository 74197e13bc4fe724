"""Makes Grafana IRM agree with Prometheus Alertmanager: silenced alerts stop paging, active ones never do."""
