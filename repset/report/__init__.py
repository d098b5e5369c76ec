"""The report: one self-contained HTML page of everything the loop brought, the same bytes for the same inputs."""
