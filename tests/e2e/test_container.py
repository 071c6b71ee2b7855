"""The image: built without a network out of the bundle, run by Podman read-only and as its own user; the compose file."""

import json
import re
import subprocess
import tempfile
from pathlib import Path

import pytest
from empty_root import root_with_our_python, run
from packages import built
from parts import require, wait_for

HERE = Path(__file__).parents[2] / "configs/container"
IMAGE = "localhost/pantau:uji"
pytestmark = [pytest.mark.real, pytest.mark.e2e, pytest.mark.timeout(1200), pytest.mark.may_block]


@pytest.fixture(scope="module")
def podman():
    """Podman with a store of its own, under a short path: it takes no longer ones."""
    binary = require("podman", "podman")
    require("runc", "runc")
    with tempfile.TemporaryDirectory(prefix="podman", ignore_cleanup_errors=True) as folder:
        places = [f"--root={folder}/root", f"--runroot={folder}/run", "--storage-driver=overlay"]
        flags = [*places, "--runtime=runc", "--cgroup-manager=cgroupfs", "--events-backend=file"]

        def call(*words, timeout=300, **more):
            return subprocess.run([binary, *flags, *words], capture_output=True, text=True, timeout=timeout, **more)

        yield call
        call("rm", "--force", "--time", "0", "--all")
        call("rmi", "--force", "--all")


@pytest.fixture(scope="module")
def image(podman, tmp_path_factory):
    """Build the image on an empty Debian with Python, for no registry can be asked here."""
    folder = tmp_path_factory.mktemp("image")
    imported = podman("import", root_with_our_python(), "localhost/base:uji")
    if imported.returncode:
        pytest.skip(f"Podman can keep no image here: {imported.stderr.strip()[-300:]}")
    (tar,) = built().glob("pantau-[0-9]*.tar.gz")
    run("tar", "--extract", "--file", tar, "--directory", folder)
    (bundle,) = folder.glob("pantau-*")
    words = ["--format=docker", "--layers=false", "--network=none", "--build-arg=BASE=localhost/base:uji"]
    made = podman("build", *words, f"--file={bundle}/container/Containerfile", f"--tag={IMAGE}", bundle, timeout=900)
    assert made.returncode == 0, made.stderr
    return IMAGE


def test_the_image_runs_read_only_as_its_own_user_and_is_healthy(podman, image):
    confined = ["--read-only", "--cap-drop=all", "--security-opt=no-new-privileges", "--network=none"]
    limits = ["--ulimit=nofile=1024:1024", "--ulimit=nproc=1000:1000"]
    started = podman("run", "--detach", "--name=centre", *confined, *limits, image)
    if started.returncode:
        pytest.skip(f"no container can be run here: {started.stderr.strip()[-300:]}")
    wait_for(lambda: podman("healthcheck", "run", "centre").returncode == 0, 60, "a healthy container")
    assert podman("exec", "centre", "id", "-u").stdout == "8420\n"
    add = "pantau user add kepala --role admin --password-stdin --settings /etc/pantau/server.toml"
    made = podman("exec", "--interactive", "centre", *add.split(), input="made-up-word-1\n")
    assert "user kepala made" in made.stdout, made.stderr
    assert podman("exec", "centre", "touch", "/opt/pantau/new").returncode != 0
    podman("stop", "--time", "60", "centre")
    assert podman("inspect", "centre", "--format", "{{.State.ExitCode}}").stdout == "0\n"


@pytest.fixture(scope="module")
def compose():
    """The compose file, read by the YAML of the system's Python."""
    script = "import json, sys, yaml; json.dump(yaml.safe_load(sys.stdin), sys.stdout)"
    command = ["/usr/bin/python3", "-c", script]
    read = subprocess.run(command, input=(HERE / "compose.yaml").read_text(), capture_output=True, text=True)
    if "No module named 'yaml'" in read.stderr:
        pytest.skip("PyYAML is missing: apt-get install python3-yaml")
    assert read.returncode == 0, read.stderr
    return json.loads(read.stdout)


def test_what_the_compose_file_names_is_declared(compose):
    for name, service in compose["services"].items():
        assert set(service.get("secrets", ())) <= compose["secrets"].keys(), name
        named = {place.partition(":")[0] for place in service["volumes"] if not place.startswith(("./", "/"))}
        assert named <= compose["volumes"].keys(), name
        assert service["restart"] == "unless-stopped"
        assert service["healthcheck"]["test"][0] == "CMD"


def test_only_the_centre_starts_unless_more_is_asked_for(compose):
    services = compose["services"]
    assert [name for name, service in services.items() if "profiles" not in service] == ["pantau"]
    assert {service["profiles"][0] for service in services.values() if "profiles" in service} == {"influx", "postgres"}
    assert not any("ports" in service for name, service in services.items() if name != "pantau")
    centre = services["pantau"]
    assert (centre["read_only"], centre["cap_drop"], centre["user"]) == (True, ["ALL"], "8420:8420")


def test_image_and_compose_file_ask_for_health_alike(compose):
    told = re.search(r"CMD (\[\"/opt.*\])", (HERE / "Containerfile").read_text())[1]
    assert compose["services"]["pantau"]["healthcheck"]["test"] == ["CMD", *json.loads(told)]


def test_no_secret_is_written_into_the_compose_file(compose):
    for service in compose["services"].values():
        for name in service.get("environment", {}):
            assert name.endswith("_FILE") or not re.search("PASSWORD|TOKEN", name), name
