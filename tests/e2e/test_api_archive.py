"""`DELETE /admin/variants/{reference}`: what goes, what stays, and what is never touched."""

import shutil
from collections.abc import Generator
from pathlib import Path

import httpx
import msgspec
import pytest

from canary import cli
from canary.errors import ExitCode
from gateway.contracts.admin import ArchiveView, PromotionView, VariantView
from gateway.settings import ArchiveSettings, Settings
from tests.support.scripted_model import write_scripted_model
from tests.support.served import serving

SCRIPT = 'default_text = "{}"\n'


class Bench:
    """A gateway that serves `serves`, and a directory for models."""

    def __init__(self, url: str, http: httpx.Client, models: Path, state_dir: Path) -> None:
        self.url = url
        self.http = http
        self.models = models
        self.state_dir = state_dir

    def model(self, name: str, *, below: Path | None = None) -> VariantView:
        path = write_scripted_model((below or self.models) / name, SCRIPT.format(name))
        return self.register(path)

    def register(self, path: Path, name: str | None = None) -> VariantView:
        body = {"source": str(path)} | ({"name": name} if name else {})
        response = self.http.post("/admin/variants", json=body).raise_for_status()
        return msgspec.json.decode(response.content, type=VariantView)

    def archive(self, view: VariantView, *, dry_run: bool = False) -> httpx.Response:
        return self.http.delete(f"/admin/variants/{view.reference}", params={"dry_run": str(dry_run).lower()})

    def archived(self, view: VariantView, *, dry_run: bool = False) -> ArchiveView:
        response = self.archive(view, dry_run=dry_run)
        assert response.status_code == 200, response.text
        return msgspec.json.decode(response.content, type=ArchiveView)

    def refused(self, view: VariantView) -> str:
        """Return why, after a look that nothing of it was removed."""
        before = sorted(Path(view.variant.engine.path).iterdir())
        for dry_run in (True, False):
            response = self.archive(view, dry_run=dry_run)
            assert (response.status_code, response.json()["error"]["code"]) == (409, "variant_in_use")
        assert sorted(Path(view.variant.engine.path).iterdir()) == before
        return str(response.json()["error"]["message"])

    def override(self, view: VariantView) -> PromotionView:
        revision = self.http.get("/admin/deployments/serves").json()["revision"]
        body = {"model": "serves", "expected_revision": revision, "variant": view.digest, "override_reason": "a test"}
        response = self.http.post("/admin/promotions", json=body).raise_for_status()
        return msgspec.json.decode(response.content, type=PromotionView)


@pytest.fixture(scope="module", params=[ArchiveSettings()])
def bench(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Generator[Bench]:
    models, state_dir = tmp_path_factory.mktemp("models"), tmp_path_factory.mktemp("state")
    serves = write_scripted_model(models / "serves", SCRIPT.format("serves"))
    settings = Settings(state_dir=str(state_dir), archive=request.param)
    with serving(settings, [serves]) as served, httpx.Client(base_url=served.url, timeout=20) as http:
        yield Bench(served.url, http, models, state_dir)


def test_a_dry_run_tells_what_would_go_and_removes_nothing(bench: Bench) -> None:
    view = bench.model("dry")
    (bench.models / "dry" / "NOTES.md").write_text("a person's own")

    told = bench.archived(view, dry_run=True)

    script = bench.models / "dry" / "scripted.toml"
    assert (told.dry_run, told.files, told.directories) == (True, (str(script),), ())
    assert told.freed_bytes == script.stat().st_size
    assert told.variant.archived_at is None
    assert script.exists()


def test_the_models_files_go_and_a_persons_own_stay(bench: Bench) -> None:
    view = bench.model("mine")
    notes = bench.models / "mine" / "NOTES.md"
    notes.write_text("a person's own")

    told = bench.archived(view)

    assert [path.name for path in notes.parent.iterdir()] == ["NOTES.md"]
    assert told.variant.archived_at is not None
    assert told.variant.reference == view.reference


def test_a_directory_that_is_empty_then_goes_too_and_so_does_a_build_of_the_gateways_with_all_in_it(
    bench: Bench,
) -> None:
    view, built = bench.model("whole"), bench.model("built", below=bench.state_dir / "models" / "builds")
    (bench.state_dir / "models" / "builds" / "built" / "provenance.json").write_text("{}")

    assert bench.archived(view).directories == ()
    told = bench.archived(built)

    assert not (bench.models / "whole").exists()
    assert told.directories == (built.variant.engine.path,)
    assert not Path(built.variant.engine.path).exists()


def test_what_was_archived_stays_in_the_list_and_is_neither_loaded_nor_asked_nor_promoted(bench: Bench) -> None:
    view = bench.model("gone")
    bench.archived(view)

    assert view.reference in {each["reference"] for each in bench.http.get("/admin/variants").json()}
    revision = bench.http.get("/admin/deployments/serves").json()["revision"]
    promotion = {"model": "serves", "expected_revision": revision, "variant": view.digest, "override_reason": "x"}
    chat = {"model": "serves", "messages": [{"role": "user", "content": "hello"}]}
    refusals = (
        bench.http.post("/admin/engines", json={"variant": view.reference}),
        bench.http.post("/admin/promotions", json=promotion),
        bench.http.post("/admin/variants", json={"source": view.reference}),
        bench.http.post("/v1/chat/completions", json=chat, headers={"x-gateway-variant": view.reference}),
    )
    for response in refusals:
        assert (response.status_code, response.json()["error"]["code"]) == (409, "variant_archived"), response.text


def test_registering_its_files_again_makes_it_whole(bench: Bench) -> None:
    view = bench.model("back")
    bench.archived(view)

    again = bench.model("back")

    assert (again.digest, again.archived_at) == (view.digest, None)
    bench.http.post("/admin/engines", json={"variant": view.reference}).raise_for_status()
    bench.http.delete(f"/admin/engines/{view.reference}").raise_for_status()


def test_archiving_it_twice_removes_nothing_more(bench: Bench) -> None:
    view = bench.model("twice")
    bench.archived(view)

    assert bench.archived(view).freed_bytes == 0


def test_a_loaded_engine_keeps_its_files(bench: Bench) -> None:
    view = bench.model("loaded")
    bench.http.post("/admin/engines", json={"variant": view.reference}).raise_for_status()

    assert "is loaded" in bench.refused(view)
    bench.http.delete(f"/admin/engines/{view.reference}").raise_for_status()
    bench.archived(view)


def test_files_that_another_variant_has_too_stay(bench: Bench) -> None:
    above = bench.model("above")
    below = bench.model("below", below=bench.models / "above")

    assert below.reference in bench.refused(above)
    assert above.reference in bench.refused(below)


def test_another_name_of_the_same_content_keeps_nothing(bench: Bench) -> None:
    view = bench.model("one")
    bench.register(bench.models / "one", name="other")

    bench.archived(view)

    assert bench.http.get("/admin/variants/other").json()["archived_at"]


def test_a_directory_with_other_files_by_now_stays(bench: Bench) -> None:
    view = bench.model("changed")
    write_scripted_model(bench.models / "changed", SCRIPT.format("something else"))

    assert "other files by now" in bench.refused(view)


def test_links_to_files_elsewhere_stay(bench: Bench) -> None:
    view = bench.model("cache")
    linked = bench.models / "linked"
    linked.mkdir()
    (linked / "scripted.toml").symlink_to(bench.models / "cache" / "scripted.toml")
    same = bench.register(linked)
    assert same.digest == view.digest

    assert "is a link to" in bench.refused(same)
    shutil.rmtree(linked)


def test_a_directory_that_is_gone_already_frees_nothing(bench: Bench) -> None:
    view = bench.model("removed")
    shutil.rmtree(bench.models / "removed")

    told = bench.archived(view)

    assert (told.freed_bytes, told.files, told.directories) == (0, (), ())
    assert told.variant.archived_at is not None


def test_a_file_that_cannot_be_removed_is_said_and_the_variant_counts_as_archived(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    view = bench.model("stuck")

    def refuse(path: Path, *, missing_ok: bool) -> None:
        del missing_ok
        raise PermissionError(1, "Operation not permitted", str(path))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", refuse)
        response = bench.archive(view)

    assert response.status_code == 500
    assert "scripted.toml cannot be removed" in response.json()["error"]["message"]
    assert bench.http.get(f"/admin/variants/{view.reference}").json()["archived_at"]


def test_the_incumbent_and_what_a_rollback_goes_back_to_are_kept(bench: Bench) -> None:
    old = bench.http.get("/admin/variants/serves").json()
    incumbent = msgspec.convert(old, VariantView)
    assert "serves serves" in bench.refused(incumbent)
    candidate = bench.model("candidate")
    bench.override(candidate)

    assert "rollback of serves" in bench.refused(incumbent)
    bench.http.post(
        "/admin/promotions",
        json={
            "model": "serves",
            "expected_revision": bench.http.get("/admin/deployments/serves").json()["revision"],
            "rollback": True,
        },
    ).raise_for_status()


@pytest.mark.parametrize("bench", [ArchiveSettings(rollback_retention_s=1e-6)], indirect=True)
def test_after_its_retention_a_rollbacks_target_may_go_and_a_rollback_to_it_says_so(bench: Bench) -> None:
    incumbent = msgspec.convert(bench.http.get("/admin/variants/serves").json(), VariantView)
    done = bench.override(bench.model("candidate"))
    bench.http.delete(f"/admin/engines/{incumbent.reference}")

    bench.archived(incumbent)

    back = {"model": "serves", "expected_revision": done.deployment.revision, "rollback": True}
    response = bench.http.post("/admin/promotions", json=back)
    assert (response.status_code, response.json()["error"]["code"]) == (409, "variant_archived")


def test_an_unknown_variant_and_a_strange_dry_run_are_told(bench: Bench) -> None:
    assert bench.http.delete("/admin/variants/nobody").json()["error"]["code"] == "variant_not_found"
    view = bench.model("strange")
    response = bench.http.delete(f"/admin/variants/{view.reference}", params={"dry_run": "perhaps"})
    assert response.status_code == 400
    assert (bench.models / "strange" / "scripted.toml").exists()


def test_the_command_lists_first_and_removes_when_told(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    view = bench.model("told")
    script = bench.models / "told" / "scripted.toml"

    assert cli.run(["archive", view.reference, "--gateway", bench.url]) == ExitCode.PASSED
    listed = capsys.readouterr().out
    assert str(script) in listed
    assert "Do it with --yes" in listed
    assert script.exists()
    assert cli.run(["archive", view.reference, "--yes", "--gateway", bench.url]) == ExitCode.PASSED
    assert "is archived" in capsys.readouterr().out
    assert not script.exists()
    assert cli.run(["archive", "serves", "--yes", "--gateway", bench.url]) == ExitCode.USAGE
    assert "serves serves" in capsys.readouterr().err
