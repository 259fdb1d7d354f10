"""The controlled lane: moto's own application behind a thin layer, in one process.

Purpose: what plain moto cannot do, done from outside: runs that move by a script, tokens that are honoured, virtual
clusters with states and limits, faults on the wire, and a record of every call. Owns the scripts, the faults and the
record, all under one lock. Nothing of moto is changed on disk; where a method of its backend is replaced, the replacement
calls the original. Control routes are below /-/, which AWS does not have. It must never answer for moto on any other path
but with an injected fault.

Usage: lane.py HOST PORT [RECORD]

RECORD is a file that gets what happened, one JSON object a line, for whoever judges it later: what a run was started with,
each state that it came to, each cancel that was acted on, and how each start and cancel was answered. No line is ever
taken back.
"""

import base64
import heapq
import io
import json
import os
import random
import re
import select
import socket
import sys
import threading
import time
from datetime import datetime, timedelta, timezone
from urllib.parse import parse_qsl

from botocore.auth import SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from moto.core import DEFAULT_ACCOUNT_ID
from moto.eks.models import eks_backends
from moto.emrcontainers.exceptions import ResourceNotFoundException
from moto.emrcontainers.models import EMRContainersBackend, JobRun, emrcontainers_backends
from moto.config.exceptions import ValidationException
from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from moto.sts.models import sts_backends
from werkzeug.serving import make_server

ACTIVE = ("PENDING", "SUBMITTED", "RUNNING", "CANCEL_PENDING")
ENDED = ("COMPLETED", "FAILED", "CANCELLED")
# What is kept of calls; a test that makes more than this reads counts, not rows.
MOST_CALLS = 20_000
# The property by which a start says an annotation of its driver.
ANNOTATION = "spark.kubernetes.driver.annotation.spark-router.test/"

OPERATIONS = [
    ("POST", re.compile(r"^/virtualclusters/[^/]+/jobruns/?$"), "StartJobRun"),
    ("GET", re.compile(r"^/virtualclusters/[^/]+/jobruns/?$"), "ListJobRuns"),
    ("GET", re.compile(r"^/virtualclusters/[^/]+/jobruns/[^/]+$"), "DescribeJobRun"),
    ("DELETE", re.compile(r"^/virtualclusters/[^/]+/jobruns/[^/]+$"), "CancelJobRun"),
    ("POST", re.compile(r"^/virtualclusters/?$"), "CreateVirtualCluster"),
    ("GET", re.compile(r"^/virtualclusters/[^/]+$"), "DescribeVirtualCluster"),
    ("DELETE", re.compile(r"^/virtualclusters/[^/]+$"), "DeleteVirtualCluster"),
    ("GET", re.compile(r"^/clusters/[^/]+$"), "DescribeCluster"),
]


def operation(method, path, body):
    for wanted, pattern, name in OPERATIONS:
        if method == wanted and pattern.match(path):
            return name
    found = re.search(rb"(?:^|&)Action=([A-Za-z]+)", body)
    if not found:
        found = re.search(rb"[?&]Action=([A-Za-z]+)", path.encode())
    return found.group(1).decode() if found else f"{method} {path}"


class Record:
    """The file; see above."""

    def __init__(self, path):
        self.file = open(path, "a", buffering=1)

    def write(self, event, at=None, **more):
        at = time.time() if at is None else at
        moment = datetime.fromtimestamp(at, timezone.utc).isoformat(timespec="microseconds")
        self.file.write(json.dumps({"at": moment, "event": event, **more}) + "\n")


RECORD = Record(os.devnull)
# What the request in this thread turns out to be about.
ASKED = threading.local()


def utc(seconds):
    """As moto keeps times: without a zone, in UTC."""
    return datetime.fromtimestamp(seconds, timezone.utc).replace(tzinfo=None)


class Lane:
    """Everything that is ours. Every method is called under the lock."""

    def __init__(self):
        self.lock = threading.RLock()
        self.forget()

    def forget(self):
        self.scripts = []
        self.pace = None
        self.request = b""
        self.faults = []
        self.due = []
        self.order = 0
        self.dedupe = True
        self.tokens = {}
        self.cancel = {"after": 0.0, "state": "CANCELLED"}
        self.cancels = {}
        self.unlisted = {}
        self.counts = {}
        self.calls = []
        self.starts = []

    # Runs.

    def backend(self, region):
        return emrcontainers_backends[DEFAULT_ACCOUNT_ID][region]

    def all_backends(self):
        for regions in list(emrcontainers_backends.values()):
            yield from list(regions.values())

    def run(self, key):
        """A run by id or by name; the youngest of that name."""
        for backend in self.all_backends():
            if key in backend.job_runs:
                return backend.job_runs[key]
        named = [run for backend in self.all_backends() for run in backend.job_runs.values() if run.name == key]
        if not named:
            raise KeyError(f"no run {key}")
        return named[-1]

    def move(self, run, step):
        run.state = step["state"]
        run.state_details = step.get("details", run.state_details)
        run.failure_reason = step.get("reason", run.failure_reason)
        if step.get("tries") is not None:
            run.retry_policy_configuration = {"maxAttempts": max(step["tries"], 2)}
            run.retry_policy_execution = {"currentAttemptCount": step["tries"]}
        run.finished_at = utc(time.time()) if run.state in ENDED else None
        RECORD.write("state", run=run.id, state=run.state, details=run.state_details, reason=run.failure_reason)

    def plan(self, run, steps, now):
        at = now
        for step in steps:
            at += float(step.get("after", 0.0))
            self.order += 1
            heapq.heappush(self.due, (at, self.order, run, step))

    def advance(self):
        """Moves every run whose time has come. What ended, or is being cancelled, leaves its script."""
        now = time.monotonic()
        while self.due and self.due[0][0] <= now:
            _, _, run, step = heapq.heappop(self.due)
            if run.state in ENDED:
                continue
            if run.state == "CANCEL_PENDING" and not step.get("cancels"):
                continue
            self.move(run, step)

    def script_of(self, run):
        for script in self.scripts:
            tag = script.get("tag")
            if tag is not None and (run.tags or {}).get(tag[0]) != tag[1]:
                continue
            if script.get("name", "") not in (run.name or ""):
                continue
            return script["steps"]
        return []

    def annotated(self, run, most):
        """The way of a run that goes as the annotations of its driver say, with so many attempts at most."""
        said = {}
        for entry in (run.configuration_overrides or {}).get("applicationConfiguration") or []:
            for key, value in (entry.get("properties") or {}).items():
                if key.startswith(ANNOTATION):
                    said[key[len(ANNOTATION):]] = value
        script = said.get("script", "succeed")
        ran = float(said.get("run-ms", 1000)) / 1000
        fails_always = script == "fail" or said.get("exit-code", "0") != "0"
        fails = int(said.get("fail-attempts", most if fails_always else 0))
        pause = float(said["submit-ms"]) / 1000 if "submit-ms" in said else self.pace
        if script == "submission-failed":
            details = "JobRun submission failed due to an internal error."
            return [{"state": "FAILED", "after": pause, "reason": "INTERNAL_ERROR", "details": details}]
        steps = [{"state": "SUBMITTED", "after": self.pace}]
        if script == "hang-submitted":
            return steps
        for number in range(1, most + 1):
            steps.append({"state": "RUNNING", "after": pause, "tries": number if most > 1 else None})
            if script == "hang-running":
                return steps
            if number > fails:
                return [*steps, {"state": "COMPLETED", "after": ran}]
            pause = ran + self.pace
        details = "The driver ended with exit code 1."
        return [*steps, {"state": "FAILED", "after": ran, "reason": "USER_ERROR", "details": details}]

    def begin(self, run):
        run.state = "PENDING"
        run.created_at = utc(time.time())
        RECORD.write(
            "started",
            run=run.id,
            cluster=run.virtual_cluster_id,
            name=run.name,
            token=run.client_token,
            tags=run.tags or {},
        )
        steps = self.script_of(run)
        if not steps and self.pace is not None:
            # moto drops the retry policy of a start.
            policy = json.loads(self.request).get("retryPolicyConfiguration") or {}
            steps = self.annotated(run, int(policy.get("maxAttempts", 1)))
        self.plan(run, steps, time.monotonic())

    # Faults.

    def fault_for(self, method, path, name, given):
        for fault in self.faults:
            if fault["left"] == 0 or fault.get("operation") not in (None, name):
                continue
            if fault.get("method") not in (None, method) or not re.search(fault.get("path") or "", path):
                continue
            if fault.get("skip", 0) > 0:
                fault["skip"] -= 1
                continue
            if fault["dice"].random() >= fault.get("chance", 1.0):
                continue
            if fault["left"] > 0:
                fault["left"] -= 1
            fault["hit"] += 1
            return fault
        return None


LANE = Lane()


# moto's backend, with what AWS does and moto does not.

original_start = EMRContainersBackend.start_job_run
original_cancel = EMRContainersBackend.cancel_job_run
original_list = EMRContainersBackend.list_job_runs
original_describe_cluster = EMRContainersBackend.describe_virtual_cluster


def counted(backend, cluster):
    """(running, waiting) of a virtual cluster."""
    states = [run.state for run in backend.job_runs.values() if run.virtual_cluster_id == cluster]
    running = sum(state == "RUNNING" for state in states)
    waiting = sum(state in ("PENDING", "SUBMITTED") for state in states)
    return running, waiting


def start_job_run(self, *args, **kwargs):
    key = (kwargs["virtual_cluster_id"], kwargs["client_token"])
    known = LANE.tokens.get(key)
    if LANE.dedupe and known is not None:
        ASKED.run, ASKED.known = known, True
        LANE.unlisted.pop(known.id, None)
        RECORD.write("deduplicated", run=known.id, token=known.client_token)
        return known
    cluster = self.virtual_clusters.get(kwargs["virtual_cluster_id"])
    if cluster is not None and cluster.state != "RUNNING":
        raise ValidationException(
            f"Virtual cluster state {cluster.state} is not valid to create resource JobRun"
        )
    limits = getattr(cluster, "scheduler_configuration", None) or {}
    most = limits.get("maxInQueueJobRuns")
    if most is not None and counted(self, cluster.id)[1] >= most:
        raise ValidationException(f"The job run queue of virtual cluster {cluster.id} is full")
    run = original_start(self, *args, **kwargs)
    LANE.begin(run)
    LANE.tokens[key] = run
    ASKED.run = run
    return run


def list_job_runs(self, *args, **kwargs):
    """Lists may lag behind starts: how far they do at AWS is not known."""
    runs, now = original_list(self, *args, **kwargs), time.monotonic()
    return [run for run in runs if LANE.unlisted.get(run.id, now) <= now]


def cancel_job_run(self, job_run_id, virtual_cluster_id):
    run = original_cancel(self, job_run_id, virtual_cluster_id)
    LANE.cancels[run.id] = LANE.cancels.get(run.id, 0) + 1
    run.state, run.state_details, run.finished_at = "CANCEL_PENDING", None, None
    ASKED.run = run
    RECORD.write("cancelled", run=run.id, by=ASKED.by)
    RECORD.write("state", run=run.id, state=run.state, details=None, reason=run.failure_reason)
    end = {"state": LANE.cancel["state"], "cancels": True}
    if end["state"] == "CANCELLED":
        end["details"] = f"JobRun {run.id} CANCELLED successfully."
    if LANE.cancel["after"] >= 0:
        LANE.plan(run, [{**end, "after": LANE.cancel["after"]}], time.monotonic())
    return run


def describe_virtual_cluster(self, cluster_id):
    if cluster_id not in self.virtual_clusters:
        # moto has another error here than AWS's model.
        raise ResourceNotFoundException(f"Virtual cluster {cluster_id} doesn't exist.")
    cluster = original_describe_cluster(self, cluster_id)
    if getattr(cluster, "scheduler_configuration", None) and not getattr(cluster, "fixed_status", False):
        running, waiting = counted(self, cluster_id)
        cluster.scheduler_status = {"currentConcurrentJobRuns": running, "currentInQueueJobRuns": waiting}
    return cluster


EMRContainersBackend.start_job_run = start_job_run
EMRContainersBackend.cancel_job_run = cancel_job_run
EMRContainersBackend.list_job_runs = list_job_runs
EMRContainersBackend.describe_virtual_cluster = describe_virtual_cluster


# Control routes: POST, JSON in and out.


def control_script(given):
    LANE.scripts.insert(0, given)


def control_annotated(given):
    """Runs without a script go by the annotations of their driver, this long in each passing state."""
    LANE.pace = float(given["pace"])


def control_advance(given):
    LANE.move(LANE.run(given["run"]), given)


def control_cancel(given):
    LANE.cancel = {"after": float(given["after"]), "state": given["state"]}


def control_dedupe(given):
    LANE.dedupe = given["on"]


def control_forget_tokens(_):
    """As if the window in which a token counts were over."""
    LANE.tokens.clear()


def control_remove(given):
    """As if the history of a run had expired."""
    run = LANE.run(given["run"])
    for backend in LANE.all_backends():
        backend.job_runs.pop(run.id, None)


def control_fault(given):
    dice = random.Random(given.get("seed", 0))
    LANE.faults.append({**given, "left": given.get("times", 1), "hit": 0, "dice": dice})


def control_faults(_):
    return {"hit": sum(fault["hit"] for fault in LANE.faults)}


def control_unlisted(_):
    now = time.monotonic()
    return {"count": sum(until > now for until in LANE.unlisted.values())}


def control_faults_clear(_):
    hit = sum(fault["hit"] for fault in LANE.faults)
    LANE.faults.clear()
    return {"hit": hit}


def control_cluster(given):
    backend = LANE.backend(given["region"])
    cluster = backend.virtual_clusters[given["id"]]
    if given.get("state") is not None:
        cluster.state = given["state"]
    if given.get("limits") is not None:
        cluster.scheduler_configuration = {
            name: value for name, value in given["limits"].items() if value is not None
        }
    if given.get("status") is not None:
        cluster.scheduler_status, cluster.fixed_status = given["status"], True


def control_seed(given):
    """Runs that were there before, without a call for each."""
    backend = LANE.backend(given["region"])
    ids = []
    for index in range(given["count"]):
        run = JobRun(
            name=f"{given['name']}-{index}",
            virtual_cluster_id=given["cluster"],
            client_token=f"{given['name']}-token-{index}",
            execution_role_arn="arn:aws:iam::123456789012:role/seed",
            release_label="emr-7.1.0-latest",
            job_driver={"sparkSubmitJobDriver": {"entryPoint": "local:///seed.jar"}},
            configuration_overrides={},
            account_id=backend.account_id,
            region_name=backend.region_name,
            aws_partition=backend.partition,
            tags=given.get("tags") or {},
        )
        run.created_at = utc(time.time()) - timedelta(hours=float(given.get("hours_ago", 0)))
        run.state = given["state"]
        backend.job_runs[run.id] = run
        ids.append(run.id)
    return {"ids": ids}


def control_runs(given):
    rows = []
    for backend in LANE.all_backends():
        for run in backend.job_runs.values():
            if given.get("name") not in (None, run.name):
                continue
            rows.append(
                {
                    "id": run.id,
                    "name": run.name,
                    "cluster": run.virtual_cluster_id,
                    "token": run.client_token,
                    "state": run.state,
                    "tags": run.tags or {},
                    "cancels": LANE.cancels.get(run.id, 0),
                    "tries": (getattr(run, "retry_policy_execution", None) or {}).get("currentAttemptCount", 1),
                }
            )
    return {"runs": rows}


def control_calls(_):
    return {"counts": LANE.counts, "calls": LANE.calls, "starts": LANE.starts}


def control_calls_clear(_):
    answer = json.loads(json.dumps(control_calls(None)))
    LANE.counts, LANE.calls, LANE.starts = {}, [], []
    return answer


def control_eks(given):
    """Where a cluster that moto knows really is."""
    cluster = eks_backends[DEFAULT_ACCOUNT_ID][given["region"]].clusters[given["name"]]
    if given.get("endpoint") is not None:
        cluster.endpoint = given["endpoint"]
    if given.get("authority") is not None:
        cluster.certificate_authority = {"data": base64.b64encode(given["authority"].encode()).decode()}
    if given.get("status") is not None:
        cluster.status = given["status"]


CONTROL = {name[len("control_"):].replace("_", "-"): found for name, found in list(globals().items()) if name.startswith("control_")}


# Presigned questions: moto looks for service and access key in headers alone, and checks no signature.


def secret_of(access_key):
    """The secret that moto gave out with an access key, or that of the plain credentials."""
    for regions in list(sts_backends.values()):
        for backend in list(regions.values()):
            for role in backend.assumed_roles:
                if role.access_key_id == access_key:
                    return role.secret_access_key
    return "testing" if access_key == "testing" else None


def check_presigned(env, host, query):
    """The header that says the same as a signed query, or why nobody signed it. The signature is botocore's work."""
    given = dict(parse_qsl(query))
    access_key, _, region, service, _ = given["X-Amz-Credential"].split("/")
    secret = secret_of(access_key)
    if secret is None:
        return None, "InvalidClientTokenId"
    signed = {}
    for name in given["X-Amz-SignedHeaders"].split(";"):
        signed[name] = host if name == "host" else env.get("HTTP_" + name.upper().replace("-", "_"), "")
    rest = "&".join(pair for pair in query.split("&") if not pair.startswith("X-Amz-Signature="))
    request = AWSRequest(method="GET", url=f"https://{host}/?{rest}", headers=signed)
    request.context["timestamp"] = given["X-Amz-Date"]
    auth = SigV4QueryAuth(Credentials(access_key, secret), service, region)
    text = auth.string_to_sign(request, auth.canonical_request(request))
    if auth.signature(text, request) != given["X-Amz-Signature"]:
        return None, "SignatureDoesNotMatch"
    header = f"Credential={given['X-Amz-Credential']}, SignedHeaders=host, Signature={given['X-Amz-Signature']}"
    return f"AWS4-HMAC-SHA256 {header}", None


def caller(env):
    """The access key that a request was signed with."""
    found = re.search(r"Credential=([^/]+)/", env.get("HTTP_AUTHORIZATION") or "")
    return found.group(1) if found else ""


def has_gone(connection):
    """Whether who asked has hung up: an answer would not be heard."""
    try:
        readable, _, _ = select.select([connection], [], [], 0)
        return bool(readable) and connection.recv(1, socket.MSG_PEEK) == b""
    except OSError:
        return True


class Layer:
    """Sees every request before moto does."""

    def __init__(self, application):
        self.application = application

    def __call__(self, env, start_response):
        received = time.time()
        length = int(env.get("CONTENT_LENGTH") or 0)
        body = env["wsgi.input"].read(length) if length else b""
        env["wsgi.input"] = io.BytesIO(body)
        method, path = env["REQUEST_METHOD"], env["PATH_INFO"]
        if path.startswith("/-/"):
            return self.control(path[3:], body, start_response)
        query = env.get("QUERY_STRING") or ""
        name = operation(method, f"{path}?{query}" if "Action=" in query else path, body)
        ASKED.run, ASKED.known, ASKED.by = None, False, caller(env)
        with LANE.lock:
            LANE.advance()
            given = self.note(env, name, method, path, query, body)
            fault = LANE.fault_for(method, path, name, given)
        if fault is None and "X-Amz-Signature=" in query:
            return self.presigned(env, query, start_response)
        # Status, and the code of an error.
        answered = [(0, None)]

        def begin(status, headers, *more):
            codes = [value for key, value in headers if key.lower() == "x-amzn-errortype"]
            answered.append((int(status.split(" ")[0]), codes[0] if codes else None))
            return start_response(status, headers, *more)

        answer = self.answer(env, begin, fault)
        if name in ("StartJobRun", "CancelJobRun"):
            is_cut = fault is not None and fault["kind"] in ("lost-request", "lost-response")
            self.tell(env, name, received, given, (0, None) if is_cut else answered[-1])
        return answer

    def answer(self, env, start_response, fault):
        if fault is None:
            return self.pass_on(env, start_response)
        if fault.get("delay"):
            time.sleep(fault["delay"])
        kind = fault["kind"]
        if kind == "delay":
            return self.pass_on(env, start_response)
        if kind == "lost-request":
            return self.cut(env, start_response)
        if kind == "lost-response":
            with LANE.lock:
                # The whole answer is made before the line is cut: it is committed.
                b"".join(self.pass_on(env, lambda *_: None))
                if fault.get("unlisted") and ASKED.run is not None and not ASKED.known:
                    LANE.unlisted[ASKED.run.id] = time.monotonic() + fault["unlisted"]
            return self.cut(env, start_response)
        if kind == "html":
            start_response("502 Bad Gateway", [("Content-Type", "text/html")])
            return [b"<html><body>bad gateway</body></html>"]
        text = json.dumps({"message": fault.get("message") or "injected"}).encode()
        headers = [("Content-Type", "application/json"), ("x-amzn-ErrorType", fault["code"])]
        start_response(f"{fault['status']} Injected", headers)
        return [text]

    def tell(self, env, name, received, given, answer):
        """Notes how a call was answered; 0: not at all, as also where its caller has gone meanwhile."""
        status, code = (0, None) if has_gone(env["werkzeug.socket"]) else answer
        RECORD.write(
            "asked",
            at=received,
            done=time.time() - received,
            operation=name,
            name=given.get("name"),
            token=given.get("clientToken"),
            job=(given.get("tags") or {}).get("sparkrouter.dev/job-uid"),
            run=ASKED.run.id if ASKED.run is not None else None,
            known=ASKED.known,
            status=status,
            code=code,
        )

    def note(self, env, name, method, path, query, body):
        LANE.counts[name] = LANE.counts.get(name, 0) + 1
        if len(LANE.calls) < MOST_CALLS:
            LANE.calls.append([name, path, query])
        given = {}
        if name == "StartJobRun":
            try:
                given = json.loads(body)
            except ValueError:
                pass
        if name == "StartJobRun" and len(LANE.starts) < MOST_CALLS:
            # The body whole: whether a repeat is equal byte by byte is what a test asks.
            LANE.starts.append(
                {
                    "token": given.get("clientToken"),
                    "name": given.get("name"),
                    "body": body.decode("utf-8", "replace"),
                    "sdk": env.get("HTTP_AMZ_SDK_REQUEST"),
                }
            )
        return given

    def presigned(self, env, query, start_response):
        with LANE.lock:
            header, code = check_presigned(env, env["HTTP_HOST"], query)
        if code is not None:
            start_response("403 Forbidden", [("Content-Type", "text/xml")])
            return [f"<ErrorResponse><Error><Code>{code}</Code></Error></ErrorResponse>".encode()]
        env["HTTP_AUTHORIZATION"] = header
        return self.pass_on(env, start_response)

    def pass_on(self, env, start_response):
        # One at a time: moto's backends have no lock of their own.
        with LANE.lock:
            LANE.request = env["wsgi.input"].getvalue()
            return list(self.application(env, start_response))

    def cut(self, env, start_response):
        start_response("200 OK", [])
        try:
            env["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        return [b""]

    def control(self, name, body, start_response):
        with LANE.lock:
            LANE.advance()
            try:
                if name == "ready":
                    answer = None
                elif name == "forget":
                    answer = LANE.forget()
                else:
                    answer = CONTROL[name](json.loads(body or b"{}"))
                status, answer = "200 OK", answer or {}
            except Exception as error:
                status, answer = "400 Bad Request", {"error": f"{name}: {type(error).__name__}: {error}"}
            text = json.dumps(answer).encode()
        start_response(status, [("Content-Type", "application/json"), ("Content-Length", str(len(text)))])
        return [text]


def main():
    global RECORD
    host, port = sys.argv[1], int(sys.argv[2])
    if len(sys.argv) > 3:
        RECORD = Record(sys.argv[3])
    application = Layer(DomainDispatcherApplication(create_backend_app))
    server = make_server(host, port, application, threaded=True, request_handler=MotoRequestHandler)
    server.serve_forever()


if __name__ == "__main__":
    main()
