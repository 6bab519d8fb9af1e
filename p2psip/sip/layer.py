"""The transaction layer as a core: messages and time in; messages to send and events for the user out (RFC 3261 §17, §18).

Stateless things live here too: Via `received` and `rport` (§18.2.1, RFC 3581), answers to what cannot be parsed, ACK for 2xx
and stray responses, which go up to the user as they are (RFC 6026 §7.2).
"""

from collections import deque

from p2psip.base.chance import Chance
from p2psip.base.timers import Timers
from p2psip.sip.build import make_response
from p2psip.sip.errors import SipSyntaxError
from p2psip.sip.events import (
    AckReceived,
    CancelReceived,
    Output,
    RequestReceived,
    ResponseReceived,
    SipTransmit,
    TransactionEnded,
    TransactionFailed,
)
from p2psip.sip.flow import Flow
from p2psip.sip.message import Request, Response
from p2psip.sip.parser import parse_message
from p2psip.sip.transactions import (
    BRANCH_COOKIE,
    T1_SECONDS,
    T2_SECONDS,
    T4_SECONDS,
    TIMER_D_SECONDS,
    TRANSACTION_SECONDS,
    TRYING_SECONDS,
    ClientTransaction,
    ServerTransaction,
    State,
    Timer,
    client_key,
    server_key,
)
from p2psip.sip.via import note_source, put_via, reply_flow, same_hop

TRANSACTIONS_MAX = 48_000  # of which 500 REGISTERs a second, each with its challenge, fill 32 000 over UDP
TRANSACTIONS_PER_FLOW_MAX = 36_000


class TransactionLayer:
    """All transactions of one node, over all its flows."""

    def __init__(self, chance: Chance, *, server_name: str = "p2psip") -> None:
        self._chance = chance
        self._server_name = server_name
        self._clients: dict[str, ClientTransaction] = {}
        self._servers: dict[str, ServerTransaction] = {}
        self._merged: dict[tuple[str, str, str], str] = {}
        self._per_flow: dict[Flow, dict[str, None]] = {}
        self._timers: Timers[tuple[str, str, Timer]] = Timers()
        self._outputs: deque[Output] = deque()
        self.malformed = 0
        self.stray_responses = 0
        self.refused = 0
        self.public_ports: set[int] = (
            set()
        )  # strangers forge sources: a refusal over UDP is sent three times there, not eleven

    def __len__(self) -> int:
        return len(self._clients) + len(self._servers)

    # Inputs

    def receive(self, data: bytes, flow: Flow, now: float) -> None:
        """Take one whole message that came over `flow`."""
        try:
            message = parse_message(data)
        except SipSyntaxError as error:
            self.malformed += 1
            if error.request is not None:
                note_source(error.request, flow)
                self._answer_statelessly(error.request, flow, error.status, f'{self._server_name} "{error}"')
            return
        if isinstance(message, Response):
            self._receive_response(message, now)
        else:
            note_source(message, flow)
            self._receive_request(message, flow, now)

    def request(self, request: Request, flow: Flow, now: float) -> str:
        """Send `request` in a new client transaction; its key. A Via with a fresh branch is put on top.

        With TRANSACTIONS_MAX requests waiting, it fails with 503 as on a broken transport.
        """
        branch = BRANCH_COOKIE + self._chance.token(8)
        put_via(request, flow, branch)
        key = client_key(branch, request.method)
        if len(self._clients) < TRANSACTIONS_MAX:
            self._open_client(key, request, flow, now)
        else:
            self.refused += 1
            self._outputs += (TransactionFailed(key, 503), TransactionEnded(key))
        return key

    def send_ack(self, request: Request, flow: Flow) -> bytes:
        """Send the ACK of a 2xx, which is its own transaction (§13.2.2.4); its bytes, to be sent again for each 2xx."""
        put_via(request, flow, BRANCH_COOKIE + self._chance.token(8))
        wire = request.to_bytes()
        self._send(wire, flow)
        return wire

    def send_again(self, wire: bytes, flow: Flow) -> None:
        """Send bytes as they are (the ACK of a repeated 2xx, a repeated 2xx)."""
        self._send(wire, flow)

    def cancel(self, key: str, now: float) -> None:
        """CANCEL the INVITE `key` (§9.1): at once if a provisional response has come, else as soon as one comes."""
        transaction = self._clients.get(key)
        if transaction is None or transaction.cancelled:
            return
        if transaction.state is State.PROCEEDING:
            self._send_cancel(transaction, now)
        elif transaction.state is State.CALLING:
            transaction.cancel_wanted = True

    def respond(self, key: str, response: Response, now: float) -> None:
        """Answer the request `key`. Responses after a final one are ignored; 2xx is repeated by its user (§13.3.1.4)."""
        transaction = self._servers.get(key)
        if transaction is None:
            return
        if transaction.state not in (State.TRYING, State.PROCEEDING):
            return
        wire = response.to_bytes()
        transaction.response, transaction.wire = response, wire
        self._stop(transaction, Timer.TRYING)
        self._send(wire, transaction.reply)
        if response.status < 200:
            transaction.state = State.PROCEEDING
        elif transaction.is_invite:
            self._complete_invite(transaction, now)
        else:
            transaction.complete()
            self._linger(transaction, 0.0 if transaction.flow.reliable else TRANSACTION_SECONDS, now)

    def flow_closed(self, flow: Flow, now: float) -> None:
        """The connection is gone: requests that wait for a response over it fail with 503.

        What was answered with 2xx stays until timer L, so that the same INVITE is never a new call (RFC 6026 §7.1).
        """
        for transaction in [t for t in self._clients.values() if t.flow == flow]:
            if transaction.state in (State.CALLING, State.TRYING, State.PROCEEDING):
                self._fail(transaction, 503)
        for server in [self._servers[key] for key in self._per_flow.get(flow, ())]:
            if server.state in (State.COMPLETED, State.CONFIRMED):
                self._end(server)

    def handle_timeout(self, now: float) -> None:
        """Serve all timers that are due."""
        for side, key, timer in self._timers.expired(now):
            if side == "client" and (client := self._clients.get(key)) is not None:
                self._client_timer(client, timer, now)
            elif side == "server" and (server := self._servers.get(key)) is not None:
                self._server_timer(server, timer, now)

    def poll_timeout(self) -> float | None:
        """The next deadline."""
        return self._timers.next()

    def poll_output(self) -> Output | None:
        """The next output, or None."""
        return self._outputs.popleft() if self._outputs else None

    # Requests of peers

    def _receive_request(self, request: Request, flow: Flow, now: float) -> None:
        key = server_key(request, flow)
        existing = self._servers.get(key)
        if existing is not None:
            self._repeat_or_confirm(existing, request, now)
        elif request.method == "ACK":
            self._outputs.append(AckReceived(request, flow))
        elif request.method == "CANCEL":
            self._receive_cancel(request, flow, now)
        else:
            self._open_server(key, request, flow, now)

    def _open_server(self, key: str, request: Request, flow: Flow, now: float) -> None:
        merge_key = (request.call_id, request.from_.tag or "", str(request.cseq))
        if request.to.tag is None and merge_key in self._merged:
            self._answer_statelessly(request, flow, 482, None)
            return
        if self._is_full(flow):
            self.refused += 1
            self._answer_statelessly(request, flow, 503, f'{self._server_name} "too many transactions at once"')
            return
        state = State.PROCEEDING if request.method == "INVITE" else State.TRYING
        transaction = ServerTransaction(key, request, flow, reply_flow(request, flow), state, merge_key=merge_key)
        self._add_server(transaction)
        self._merged[merge_key] = key
        if transaction.is_invite:
            self._set(transaction, Timer.TRYING, now + TRYING_SECONDS)
        self._outputs.append(RequestReceived(key, request, flow))

    def _repeat_or_confirm(self, transaction: ServerTransaction, request: Request, now: float) -> None:
        """A retransmission gets the last response again; an ACK ends the repeating of a final one (§17.2.1)."""
        if request.method == "ACK":
            if transaction.state is State.COMPLETED:
                transaction.state = State.CONFIRMED
                self._stop(transaction, Timer.RETRANSMIT)
                self._stop(transaction, Timer.TIMEOUT)
                self._linger(transaction, 0.0 if transaction.flow.reliable else T4_SECONDS, now)
            elif transaction.state is State.ACCEPTED:
                self._outputs.append(AckReceived(request, transaction.flow))
        elif transaction.wire is not None and transaction.state in (State.PROCEEDING, State.COMPLETED):
            self._send(transaction.wire, transaction.reply)

    def _receive_cancel(self, cancel: Request, flow: Flow, now: float) -> None:
        """§9.2: 200 with the tag that the INVITE got, or 481. Above the bounds it is served, but not remembered."""
        key = server_key(cancel, flow)
        target = self._servers.get(key.removesuffix("CANCEL") + "INVITE")
        status = 200 if target is not None else 481
        if self._is_full(flow):
            self._answer_statelessly(cancel, flow, status, None)
        else:
            said = target.response.to.tag if target is not None and target.response is not None else None
            self._add_server(ServerTransaction(key, cancel, flow, reply_flow(cancel, flow), State.TRYING))
            self.respond(key, make_response(cancel, status, to_tag=said or self._chance.token(4)), now)
        if target is not None and target.state is State.PROCEEDING:
            self._outputs.append(CancelReceived(target.key, cancel))

    def _complete_invite(self, transaction: ServerTransaction, now: float) -> None:
        assert transaction.response is not None
        if transaction.response.status < 300:
            transaction.accept()
            self._linger(transaction, TRANSACTION_SECONDS, now)
            return
        transaction.state = State.COMPLETED
        if not transaction.flow.reliable:
            self._set(transaction, Timer.RETRANSMIT, now + T1_SECONDS)
        self._set(transaction, Timer.TIMEOUT, now + TRANSACTION_SECONDS)

    def _server_timer(self, transaction: ServerTransaction, timer: Timer, now: float) -> None:
        if timer is Timer.TRYING:
            times = [("Timestamp", value) for value in transaction.request.headers.all("Timestamp")]  # §8.2.6.1
            self.respond(transaction.key, make_response(transaction.request, 100, headers=times), now)
        elif timer is Timer.RETRANSMIT and transaction.wire is not None:
            self._send(transaction.wire, transaction.reply)
            transaction.interval = min(2 * transaction.interval, T2_SECONDS)
            if transaction.interval <= 2 * T1_SECONDS or transaction.flow.local[1] not in self.public_ports:
                self._set(transaction, Timer.RETRANSMIT, now + transaction.interval)
        else:
            self._end(transaction)

    def _is_full(self, flow: Flow) -> bool:
        return len(self) >= TRANSACTIONS_MAX or len(self._per_flow.get(flow, ())) >= TRANSACTIONS_PER_FLOW_MAX

    def _add_server(self, transaction: ServerTransaction) -> None:
        self._servers[transaction.key] = transaction
        self._per_flow.setdefault(transaction.flow, {})[transaction.key] = None

    # Requests of ours, and responses to them

    def _open_client(self, key: str, request: Request, flow: Flow, now: float) -> None:
        state = State.CALLING if request.method == "INVITE" else State.TRYING
        transaction = ClientTransaction(key, request, flow, request.to_bytes(), state)
        self._clients[key] = transaction
        self._send(transaction.wire, flow)
        if not flow.reliable:
            self._set(transaction, Timer.RETRANSMIT, now + T1_SECONDS)
        self._set(transaction, Timer.TIMEOUT, now + TRANSACTION_SECONDS)

    def _receive_response(self, response: Response, now: float) -> None:
        branch = response.top_via.branch or ""
        transaction = self._clients.get(client_key(branch, response.cseq.method))
        if transaction is None:
            self.stray_responses += 1
        elif transaction.is_invite:
            self._invite_response(transaction, response, now)
        else:
            self._plain_response(transaction, response, now)

    def _invite_response(self, transaction: ClientTransaction, response: Response, now: float) -> None:
        if transaction.state in (State.CALLING, State.PROCEEDING):
            self._outputs.append(ResponseReceived(transaction.key, response))
            self._stop(transaction, Timer.RETRANSMIT)
            if response.status < 200:
                transaction.state = State.PROCEEDING
                if not transaction.cancelled:  # else timer B bounds the wait for 487 (§9.1)
                    self._stop(transaction, Timer.TIMEOUT)
                    if transaction.cancel_wanted:
                        self._send_cancel(transaction, now)
            elif response.status < 300:
                self._stop(transaction, Timer.TIMEOUT)
                transaction.state = State.ACCEPTED
                self._linger(transaction, TRANSACTION_SECONDS, now)
            else:
                self._acknowledge_failure(transaction, response, now)
        elif transaction.state is State.ACCEPTED and 200 <= response.status < 300:
            self._outputs.append(ResponseReceived(transaction.key, response))
        elif transaction.state is State.COMPLETED and response.status >= 300 and transaction.acknowledgement:
            self._send(transaction.acknowledgement, transaction.flow)

    def _acknowledge_failure(self, transaction: ClientTransaction, response: Response, now: float) -> None:
        """ACK for 3xx-6xx belongs to the transaction and carries its branch (§17.1.1.3)."""
        self._stop(transaction, Timer.TIMEOUT)
        transaction.state = State.COMPLETED
        ack = same_hop(transaction.request, "ACK", response.headers.get("To"))
        transaction.acknowledgement = ack.to_bytes()
        self._send(transaction.acknowledgement, transaction.flow)
        self._linger(transaction, 0.0 if transaction.flow.reliable else TIMER_D_SECONDS, now)

    def _plain_response(self, transaction: ClientTransaction, response: Response, now: float) -> None:
        if transaction.state is State.COMPLETED:
            return
        self._outputs.append(ResponseReceived(transaction.key, response))
        if response.status < 200:
            transaction.state = State.PROCEEDING
        else:
            self._stop(transaction, Timer.RETRANSMIT)
            self._stop(transaction, Timer.TIMEOUT)
            transaction.state = State.COMPLETED
            self._linger(transaction, 0.0 if transaction.flow.reliable else T4_SECONDS, now)

    def _client_timer(self, transaction: ClientTransaction, timer: Timer, now: float) -> None:
        if timer is Timer.RETRANSMIT:
            self._send(transaction.wire, transaction.flow)
            doubled = 2 * transaction.interval
            slow = transaction.state is State.PROCEEDING
            transaction.interval = (
                doubled if transaction.is_invite else T2_SECONDS if slow else min(doubled, T2_SECONDS)
            )
            self._set(transaction, Timer.RETRANSMIT, now + transaction.interval)
        elif timer is Timer.TIMEOUT:
            self._fail(transaction, 408)
        else:
            self._end(transaction)

    def _send_cancel(self, transaction: ClientTransaction, now: float) -> None:
        transaction.cancelled = True
        cancel = same_hop(transaction.request, "CANCEL", transaction.request.headers.get("To"))
        for name in ("Reason",):
            for value in transaction.request.headers.all(name):
                cancel.headers.add(name, value)
        key = client_key(cancel.top_via.branch or "", "CANCEL")
        self._open_client(key, cancel, transaction.flow, now)
        # §9.1: if no final response comes within 64*T1 after the CANCEL, the INVITE is given up
        self._set(transaction, Timer.TIMEOUT, now + TRANSACTION_SECONDS)

    # What both sides share

    def _answer_statelessly(self, request: Request, flow: Flow, status: int, warning: str | None) -> None:
        headers = [("Server", self._server_name)]
        if warning is not None:
            headers.append(("Warning", f"399 {warning}"))
        if status == 503:
            headers.append(("Retry-After", "5"))
        try:
            response = make_response(request, status, to_tag=self._chance.token(4), headers=headers)
        except SipSyntaxError:  # its To cannot be read; the response goes back with To as it came
            response = make_response(request, status, headers=headers)
        self._send(response.to_bytes(), reply_flow(request, flow))

    def _send(self, wire: bytes, flow: Flow) -> None:
        self._outputs.append(SipTransmit(wire, flow))

    def _set(self, transaction: ClientTransaction | ServerTransaction, timer: Timer, when: float) -> None:
        self._timers.set((_side(transaction), transaction.key, timer), when)

    def _stop(self, transaction: ClientTransaction | ServerTransaction, timer: Timer) -> None:
        self._timers.stop((_side(transaction), transaction.key, timer))

    def _linger(self, transaction: ClientTransaction | ServerTransaction, seconds: float, now: float) -> None:
        if seconds > 0:
            self._set(transaction, Timer.LINGER, now + seconds)
        else:
            self._end(transaction)

    def _fail(self, transaction: ClientTransaction, status: int) -> None:
        self._outputs.append(TransactionFailed(transaction.key, status))
        self._end(transaction)

    def _end(self, transaction: ClientTransaction | ServerTransaction) -> None:
        for timer in Timer:
            self._stop(transaction, timer)
        transaction.state = State.TERMINATED
        if isinstance(transaction, ClientTransaction):
            del self._clients[transaction.key]
        else:
            del self._servers[transaction.key]
            if self._merged.get(transaction.merge_key) == transaction.key:
                del self._merged[transaction.merge_key]
            same = self._per_flow[transaction.flow]
            del same[transaction.key]
            if not same:
                del self._per_flow[transaction.flow]
        self._outputs.append(TransactionEnded(transaction.key))


def _side(transaction: ClientTransaction | ServerTransaction) -> str:
    return "client" if isinstance(transaction, ClientTransaction) else "server"
