"""Write every dashboard's JSON where Grafana's provisioning looks for it."""

from deploy.dashboards.catalogue import DIRECTORY, rendered


def main() -> None:
    DIRECTORY.mkdir(parents=True, exist_ok=True)
    for name, text in rendered().items():
        (DIRECTORY / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
