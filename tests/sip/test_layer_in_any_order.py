"""The layer under inputs in any order and under broken bytes: nothing is raised, every table is empty in the end."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from p2psip.sip.build import make_response
from p2psip.sip.events import RequestReceived, ResponseReceived, TransactionEnded, TransactionFailed
from p2psip.sip.flow import Flow
from p2psip.sip.message import Request
from tests.sip.playbook import HERE, Stage, make_outgoing, request_text

METHODS = ("INVITE", "ACK", "CANCEL", "BYE", "REGISTER")
STATUSES = (100, 180, 200, 302, 486, 503)
FLOWS = (
    Flow("udp", HERE, ("192.0.2.9", 5066)),
    Flow("udp", HERE, ("192.0.2.10", 5066)),
    Flow("tcp", HERE, ("192.0.2.9", 5066), 7),
    Flow("overlay", ("overlay", 0), ("aa" * 20, 0)),
)

flows = st.sampled_from(FLOWS)
steps = st.one_of(
    st.tuples(st.just("send"), st.sampled_from(("INVITE", "BYE")), flows),
    st.tuples(st.just("receive"), st.sampled_from(METHODS), flows, st.integers(0, 2), st.booleans()),
    st.tuples(st.just("respond"), st.sampled_from(STATUSES), st.integers(0, 9), flows),
    st.tuples(st.just("answer"), st.sampled_from(STATUSES), st.integers(0, 9)),
    st.tuples(st.just("cancel"), st.integers(0, 9)),
    st.tuples(st.just("close"), flows),
    st.tuples(st.just("wait"), st.floats(0, 40)),
)


class Run:
    """A layer with what a user and a network would remember."""

    def __init__(self) -> None:
        self.stage = Stage()
        self.ours: list[str] = []
        self.theirs: list[tuple[str, Request]] = []
        self.ended: Counter[str] = Counter()
        self.finals: Counter[str] = Counter()

    def take(self, step: tuple[object, ...]) -> None:
        stage, layer = self.stage, self.stage.layer
        match step:
            case ("send", str(method), Flow() as flow):
                self.ours.append(layer.request(make_outgoing(method), flow, stage.now))
            case ("receive", str(method), Flow() as flow, number, in_dialog):
                to = "<sip:bob@example.com>" + (";tag=b" if in_dialog else "")
                layer.receive(request_text(method, f"z9hG4bK{number}", to=to), flow, stage.now)
            case ("respond", int(status), int(number), Flow() as flow) if requests := self._sent():
                response = make_response(requests[number % len(requests)], status, to_tag="b")
                layer.receive(response.to_bytes(), flow, stage.now)
            case ("answer", int(status), int(number)) if self.theirs:
                key, request = self.theirs[number % len(self.theirs)]
                layer.respond(key, make_response(request, status, to_tag="b"), stage.now)
            case ("cancel", int(number)) if self.ours:
                layer.cancel(self.ours[number % len(self.ours)], stage.now)
            case ("close", Flow() as flow):
                layer.flow_closed(flow, stage.now)
            case ("wait", float(seconds)):
                self.wait(stage.now + seconds)
        self.drain()

    def wait(self, until: float) -> None:
        while (due := self.stage.layer.poll_timeout()) is not None and due <= until:
            self.stage.now = max(due, self.stage.now)
            self.stage.layer.handle_timeout(due)
            self.drain()
        self.stage.now = until

    def drain(self) -> None:
        for output in self.stage.drain():
            if isinstance(output, RequestReceived):
                self.theirs.append((output.key, output.request))
            elif isinstance(output, TransactionEnded):
                self.ended[output.key] += 1
            elif isinstance(output, TransactionFailed) or (
                isinstance(output, ResponseReceived) and output.response.status >= 200
            ):
                self.finals[output.key] += 1

    def finish(self) -> None:
        """Answer all that is open, end what rings for ever, and let every timer run out."""
        for key, request in self.theirs:
            self.stage.layer.respond(key, make_response(request, 500, to_tag="b"), self.stage.now)
        for flow in FLOWS:
            self.stage.layer.flow_closed(flow, self.stage.now)
        self.drain()
        self.wait(self.stage.now + 100)

    def _sent(self) -> list[Request]:
        return [each for each in self.stage.sent if isinstance(each, Request) and each.method != "ACK"]


@given(st.lists(steps, max_size=40))
def test_whatever_comes_in_whatever_order_every_transaction_ends_once(script: list[tuple[object, ...]]) -> None:
    run = Run()
    for step in script:
        run.take(step)
    run.finish()
    layer = run.stage.layer
    assert (len(layer), layer._per_flow, layer._merged, layer.poll_timeout()) == (0, {}, {}, None)
    for key in run.ours:
        assert run.ended[key] == 1
        assert run.finals[key] >= 1
        assert run.finals[key] == 1 or key.endswith("INVITE")  # 2xx may come several times


@given(st.data())
def test_broken_bytes_raise_nothing_and_leave_nothing(data: st.DataObject) -> None:
    stage = Stage()
    invite = stage.send("INVITE")
    samples = [request_text(method) for method in METHODS]
    samples += [make_response(invite, status, to_tag="b").to_bytes() for status in STATUSES]
    for _ in range(4):
        sample = bytearray(data.draw(st.sampled_from(samples)))
        for _ in range(data.draw(st.integers(1, 4))):
            position = data.draw(st.integers(0, len(sample) - 1))
            sample[position : position + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
        stage.layer.receive(bytes(sample), stage.flow, stage.now)
        while stage.layer.poll_output() is not None:
            pass
    assert len(stage.layer) <= 5


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_malformed(data: bytes) -> None:
    stage = Stage()
    stage.layer.receive(data, stage.flow, 0)
    assert stage.layer.malformed == 1
    assert stage.layer.poll_output() is None
