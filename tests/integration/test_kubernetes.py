"""The manifests for Kubernetes. No cluster runs here: they are judged by Kubernetes' own schemas (kubernetes-validate, with
`make check-long`), and by what the programs, the images and the scaler must agree on."""

import subprocess

import pytest
import yaml

from services import ROOT
from worker import PROGRAM, run_program

DOCUMENTS = list(yaml.safe_load_all((ROOT / "deploy/kubernetes/celeriac.yaml").read_text()))
PODS = {"StatefulSet", "Deployment", "Job"}


def of(kind):
    return {each["metadata"]["name"]: each for each in DOCUMENTS if each["kind"] == kind}


def pods():
    return {each["metadata"]["name"]: each["spec"]["template"] for each in DOCUMENTS if each["kind"] in PODS}


def environment(container):
    """What its variables are, those of config maps included."""
    values = {}
    for source in container.get("envFrom", []):
        values.update(of("ConfigMap")[source["configMapRef"]["name"]]["data"])
    values.update({each["name"]: each.get("value", "") for each in container.get("env", [])})
    return values


def test_every_variable_is_a_setting():
    known = {line.split()[0] for line in run_program("--settings").stdout.splitlines() if "=" in line}
    assert "CELERIAC_NODE" in known
    for name, pod in pods().items():
        for container in pod["spec"]["containers"]:
            variables = {each.removesuffix("_FILE") if each not in known else each for each in environment(container)}
            assert variables <= known, (name, variables - known)


@pytest.mark.parametrize("name", sorted(pods()))
def test_a_pod_is_caged(name):
    spec = pods()[name]["spec"]
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"]["runAsNonRoot"] and spec["securityContext"]["seccompProfile"]["type"] == "RuntimeDefault"
    assert not any("hostPath" in volume for volume in spec["volumes"]) and not spec.get("hostNetwork") and not spec.get("hostPID")
    for container in spec["containers"]:
        cage = container["securityContext"]
        assert cage["readOnlyRootFilesystem"] and cage["capabilities"] == {"drop": ["ALL"]} and cage["allowPrivilegeEscalation"] is False
        assert "memory" in container["resources"]["limits"]


@pytest.mark.parametrize("name", sorted(pods()))
def test_a_pod_has_the_secrets_it_reads_and_no_others(name):
    spec = pods()[name]["spec"]
    volumes = {volume["name"]: volume for volume in spec["volumes"]}
    [container] = spec["containers"]
    files = {}
    for mount in container["volumeMounts"]:
        items = volumes[mount["name"]].get("secret", {}).get("items", [])
        files.update({f"{mount['mountPath']}/{item['path']}": item["key"] for item in items})
    read = {value for variable, value in environment(container).items() if variable.endswith("_FILE")}
    assert read == set(files)
    assert ("owner_database_url" in files.values()) == (name == "celeriac-migrate")


def test_scaler_and_probes_name_what_is_there():
    [scaled] = of("ScaledObject").values()
    target = scaled["spec"]["scaleTargetRef"]
    assert target["name"] in of(target["kind"]) and "replicas" not in of(target["kind"])[target["name"]]["spec"]
    instance = of("ConfigMap")["celeriac"]["data"]["CELERIAC_INSTANCE"]
    assert [trigger["metadata"]["listName"] for trigger in scaled["spec"]["triggers"]] == ["celery", f"celeriac.node.{instance}:"]
    for trigger in scaled["spec"]["triggers"]:
        assert trigger["authenticationRef"]["name"] in of("TriggerAuthentication")
        assert all(isinstance(value, str) for value in trigger["metadata"].values()), "KEDA takes text only"
    for name, pod in pods().items():
        for container in pod["spec"]["containers"]:
            ports = {port["name"]: port["containerPort"] for port in container.get("ports", [])}
            probes = [probe for key, probe in container.items() if key.endswith("Probe")]
            assert all(probe["httpGet"]["port"] in ports for probe in probes)
            listens = [value for key, value in environment(container).items() if key.endswith("METRICS")]
            assert [int(value.rpartition(":")[2]) for value in listens] == list(ports.values()), name
            assert container.get("livenessProbe", {}).get("httpGet", {}).get("path") in (None, "/healthz")
    for selector in [each["spec"]["selector"] for each in DOCUMENTS if each["kind"] in ("StatefulSet", "Deployment", "PodDisruptionBudget")]:
        assert any(selector["matchLabels"].items() <= pod["metadata"]["labels"].items() for pod in pods().values())


def test_the_worker_says_nothing_against_its_settings():
    """With stand-ins for the secrets: every value is one that the program takes."""
    worker = environment(pods()["celeriac-worker"]["spec"]["containers"][0])
    settings = {name: value for name, value in worker.items() if not name.endswith("_FILE") and value}
    done = subprocess.run([PROGRAM, "--settings"], env={"PATH": "/usr/bin:/bin", **settings}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.long
def test_kubernetes_schemas():
    import kubernetes_validate as validate  # of deploy/setup --long
    checked = 0
    for each in DOCUMENTS:
        if "keda" in each["apiVersion"]:
            continue
        validate.validate(each, validate.latest_version(), strict=True)
        checked += 1
    assert checked == len(DOCUMENTS) - 2
