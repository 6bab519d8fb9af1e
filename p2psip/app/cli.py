"""The command line: arguments and help texts only; what a command does lives in the module that it names."""

import time
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import trio
import typer

from p2psip.app.control import NoNodeError, ask
from p2psip.app.demo import run_demo
from p2psip.app.doctor import can_be_called
from p2psip.app.examination import read_facts
from p2psip.app.explaining import explain_here, show_explanation
from p2psip.app.hosting import host_overlay, make_invite_link, revoke_person
from p2psip.app.joining import join_overlay
from p2psip.app.logs import set_up_logging
from p2psip.app.node import run_node
from p2psip.app.phone_authority import export_authority
from p2psip.app.phones import add_phone
from p2psip.app.presence_views import show_presence
from p2psip.app.quickcall import call_once, message_once
from p2psip.app.settings import home_folder, load_settings
from p2psip.app.show import Printer
from p2psip.app.simulate import app as simulate_app
from p2psip.app.state import State
from p2psip.app.trunk_views import show_trunks
from p2psip.app.views import (
    show_call,
    show_call_media,
    show_call_record,
    show_calls,
    show_examination,
    show_lookup,
    show_new_phone,
    show_no_node,
    show_outcome,
    show_phone_authority,
    show_phones,
    show_status,
)
from p2psip.base.chance import Chance
from p2psip.net.clock import Clock

INVITE_HOURS_MAX = 8_760

app = typer.Typer(
    name="p2psip",
    help="Telephony without a registrar: ordinary SIP phones, a peer-to-peer directory, encrypted calls.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
phone_app = typer.Typer(help="The phones that may register with this node.", no_args_is_help=True)
app.add_typer(phone_app, name="phone")
app.add_typer(simulate_app, name="simulate")


@dataclass(frozen=True, slots=True)
class Context:
    """What every command shares: the node's folder, the way of printing, the logging that was asked for."""

    home: Path
    printer: Printer
    log: dict[str, Any]


def _context(context: typer.Context) -> Context:
    found = context.obj
    assert isinstance(found, Context)
    return found


@app.callback()
def common(
    context: typer.Context,
    home: Annotated[
        Path | None, typer.Option(envvar="P2PSIP_HOME", help="Folder of this node's state and settings.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Answer in JSON.")] = False,
    log_level: Annotated[str | None, typer.Option(help="debug, info, warning or error.")] = None,
    log_json: Annotated[bool, typer.Option("--log-json", help="Log JSON lines, for machines.")] = False,
) -> None:
    """Options that stand before the command."""
    log = {"level": log_level, "json_lines": log_json or None}
    context.obj = Context(home_folder(home), Printer(as_json=as_json), log)


@app.command()
def bootstrap(
    context: typer.Context,
    overlay: Annotated[str, typer.Argument(help="Name of the overlay, for example home.example.")],
    host: Annotated[
        list[str] | None,
        typer.Option(help="Address that newcomers can reach: IPv4, IPv6 or both. [default: 127.0.0.1]"),
    ] = None,
    port: Annotated[int, typer.Option(help="TCP port (enrolment) and UDP port (overlay).")] = 4500,
) -> None:
    """Create an overlay (on the first start) and serve its newcomers."""
    shared = _context(context)
    settings = load_settings(shared.home, {"log": shared.log})
    set_up_logging(settings.log.level, json_lines=settings.log.json_lines)
    trio.run(host_overlay, shared.home, overlay, host or ["127.0.0.1"], port, shared.printer)


@app.command()
def invite(
    context: typer.Context,
    hours: Annotated[float, typer.Option(help="How long the one-time token holds.")] = 72.0,
    no_token: Annotated[bool, typer.Option("--no-token", help="A link for people who have a password.")] = False,
) -> None:
    """Print an invite link and its QR code (in the folder of the bootstrap server)."""
    shared = _context(context)
    if not 0 < hours <= INVITE_HOURS_MAX:
        raise typer.BadParameter(f"--hours takes more than 0 and at most {INVITE_HOURS_MAX} hours")
    link = make_invite_link(shared.home, None if no_token else hours * 3600, int(time.time()))
    shared.printer.answer({"link": link}, lambda: print(link))
    shared.printer.qr(link)


@app.command()
def revoke(
    context: typer.Context, name: Annotated[str, typer.Argument(help="Person whose devices are shut out.")]
) -> None:
    """Revoke all certificates of a person (in the folder of the bootstrap server)."""
    shared = _context(context)
    serials = revoke_person(shared.home, name, int(time.time()))
    shared.printer.answer({"revoked": serials}, lambda: print(f"{len(serials)} certificate(s) of {name} revoked"))


@app.command()
def join(
    context: typer.Context,
    link: Annotated[str, typer.Argument(help="The invite link, p2psip://…")],
    name: Annotated[str, typer.Option(help="Your name in the overlay, for example alice.")],
    password: Annotated[
        str | None, typer.Option(envvar="P2PSIP_PASSWORD", help="Password of the account, where there is one.")
    ] = None,
) -> None:
    """Enrol this machine in an overlay."""
    shared = _context(context)
    joined = trio.run(partial(join_overlay, shared.home, link, name, password, clock=Clock(), chance=Chance.system()))
    words = f"Welcome. You are {' and '.join(f'sip:{address}' for address in joined.addresses)}. Now run `p2psip up`."
    shared.printer.answer(joined.as_json(), lambda: print(words))


@app.command()
def up(
    context: typer.Context,
    overlay_host: Annotated[
        list[str] | None, typer.Option(help="Address of the overlay's UDP port (repeatable).")
    ] = None,
    overlay_port: Annotated[int | None, typer.Option(help="The node's one UDP port; 0 for any.")] = None,
    sip_host: Annotated[str | None, typer.Option(help="Where phones register; loopback unless said.")] = None,
    sip_port: Annotated[int | None, typer.Option(help="UDP and TCP port for phones; 0 for any.")] = None,
    volunteer: Annotated[
        bool | None,
        typer.Option(
            "--volunteer/--no-volunteer", help="Relay calls of others, within the caps of `relay` in p2psip.toml."
        ),
    ] = None,
) -> None:
    """Start this machine's node, and print what to type into a phone."""
    shared = _context(context)
    changes: dict[str, dict[str, Any]] = {
        "overlay": {"hosts": tuple(overlay_host) if overlay_host else None, "port": overlay_port},
        "sip": {"host": sip_host, "port": sip_port},
        "relay": {"volunteer": volunteer},
        "log": shared.log,
    }
    settings = load_settings(shared.home, changes)
    set_up_logging(settings.log.level, json_lines=settings.log.json_lines)
    trio.run(run_node, shared.home, settings, shared.printer)


@phone_app.command("add")
def phone_add(
    context: typer.Context,
    name: Annotated[str | None, typer.Argument(help="User name of the phone; made up when left out.")] = None,
    algorithm: Annotated[str, typer.Option(help="Digest: MD5 (every phone) or SHA-256 (recent ones).")] = "MD5",
) -> None:
    """Make an account for a phone and print what to type into it."""
    shared = _context(context)
    if algorithm not in ("MD5", "SHA-256"):
        raise typer.BadParameter("the algorithm is MD5 or SHA-256")
    settings = load_settings(shared.home)
    with closing(State(shared.home)) as state:
        new = add_phone(state, _own_address(state), name, algorithm, int(time.time()), Chance.system())
    ready = trio.run(_phone_doors, shared.home, {"sip": [settings.sip.host, settings.sip.port], "doors": []})
    show_new_phone(shared.printer, new, ready)


@phone_app.command("list")
def phone_list(context: typer.Context) -> None:
    """Show the accounts of phones."""
    shared = _context(context)
    with closing(State(shared.home)) as state:
        phones = state.phones()
    show_phones(shared.printer, phones)


@phone_app.command("remove")
def phone_remove(context: typer.Context, name: Annotated[str, typer.Argument(help="User name of the phone.")]) -> None:
    """Forget the account of a phone."""
    shared = _context(context)
    with closing(State(shared.home)) as state:
        state.remove_phone(name)
    shared.printer.answer({"removed": name}, lambda: print(f"{name} can no longer register"))


@phone_app.command("ca")
def phone_ca(
    context: typer.Context,
    file: Annotated[Path | None, typer.Argument(help="Write a copy here, to carry to a phone.")] = None,
) -> None:
    """Show the authority that a phone must trust to register over TLS; it is made when there is none."""
    shared = _context(context)
    with closing(State(shared.home)) as state:
        overlay = state.require_membership().overlay
    show_phone_authority(shared.printer, export_authority(shared.home, overlay, time.time(), file))


@app.command()
def status(context: typer.Context) -> None:
    """Show the running node: phones, peers, calls."""
    shared = _context(context)
    show_status(shared.printer, trio.run(ask, shared.home, "status"))


@app.command()
def lookup(context: typer.Context, target: Annotated[str, typer.Argument(help="sip:name@overlay or a name.")]) -> None:
    """Find a person in the overlay and show how."""
    shared = _context(context)
    found = trio.run(partial(ask, shared.home, "lookup", target=target))
    show_lookup(shared.printer, found)
    if not found["registrations"]:
        raise typer.Exit(1)


@app.command()
def presence(
    context: typer.Context, target: Annotated[str, typer.Argument(help="sip:name@overlay or a name.")]
) -> None:
    """Whether somebody is there, as they let you see; exit code 1 when not."""
    shared = _context(context)
    seen = trio.run(partial(ask, shared.home, "presence", target=target))
    show_presence(shared.printer, seen)
    if not seen["open"]:
        raise typer.Exit(1)


@app.command()
def explain(
    context: typer.Context,
    target: Annotated[str, typer.Argument(help="A number, a name, sip:name@domain or tel:number.")],
    caller: Annotated[str | None, typer.Option(help="Who would call, for rules that hold for some only.")] = None,
) -> None:
    """Print the path that a call would take, with the reason of each step; exit code 1 when there is none."""
    shared = _context(context)
    facts = trio.run(explain_here, shared.home, load_settings(shared.home), target, caller)
    show_explanation(shared.printer, facts)
    if facts["taken"] is None:
        raise typer.Exit(1)


@app.command()
def call(
    context: typer.Context,
    target: Annotated[str, typer.Argument(help='sip:name@overlay, a name or a number ("+44 20 7946 0018" too).')],
    play: Annotated[Path | None, typer.Option(help="WAV file to speak (8 kHz mono).")] = None,
    record: Annotated[Path | None, typer.Option(help="WAV file for what is heard.")] = None,
    seconds: Annotated[float, typer.Option(help="Hang up after this time; 0: after the file.")] = 0.0,
) -> None:
    """Call somebody through the running node."""
    shared = _context(context)
    report = trio.run(partial(call_once, shared.home, target, play=play, record=record, seconds=seconds))
    show_call(shared.printer, report)
    if report["status"] >= 300:
        raise typer.Exit(1)


@app.command()
def calls(
    context: typer.Context,
    number: Annotated[int | None, typer.Argument(help="Number of a call: show all that is known of it.")] = None,
) -> None:
    """List the calls of this node, or show one with its messages and its media."""
    shared = _context(context)
    if number is None:
        show_calls(shared.printer, trio.run(ask, shared.home, "calls"))
    else:
        show_call_record(shared.printer, trio.run(partial(ask, shared.home, "call", number=number)))


@app.command()
def trunks(context: typer.Context) -> None:
    """Show the providers of this node: whether they work, calls now, what went wrong last."""
    shared = _context(context)
    show_trunks(shared.printer, trio.run(ask, shared.home, "trunks"))


@app.command()
def doctor(
    context: typer.Context,
    number: Annotated[int | None, typer.Option("--call", help="Look at the audio of this call instead.")] = None,
) -> None:
    """Say what NAT this is, what works, and whether this node can be called: exit code 1 if not, 2 if no node runs."""
    shared = _context(context)
    try:
        if number is not None:
            show_call_media(shared.printer, trio.run(partial(ask, shared.home, "call", number=number)))
            return
        facts = read_facts(trio.run(ask, shared.home, "doctor"))
    except NoNodeError as error:
        show_no_node(shared.printer, str(error))
        raise typer.Exit(2) from error
    show_examination(shared.printer, facts)
    if not can_be_called(facts):
        raise typer.Exit(1)


@app.command()
def message(
    context: typer.Context,
    target: Annotated[str, typer.Argument(help='sip:name@overlay, a name or a number ("+44 20 7946 0018" too).')],
    text: Annotated[str, typer.Argument(help="What to say.")],
) -> None:
    """Send a text message through the running node."""
    shared = _context(context)
    report = trio.run(partial(message_once, shared.home, target, text))
    shared.printer.answer(report, lambda: show_outcome(shared.printer, report))
    if report["status"] >= 300:
        raise typer.Exit(1)


@app.command()
def demo(
    context: typer.Context,
    folder: Annotated[Path, typer.Option(help="Where recordings and logs are left.")] = Path("demo-output"),
) -> None:
    """A bootstrap server, three nodes and two phones on this machine call one another."""
    shared = _context(context)
    if not trio.run(run_demo, folder, shared.printer):
        raise typer.Exit(1)


def _own_address(state: State) -> str:
    membership = state.require_membership()
    return membership.addresses[0]


async def _phone_doors(home: Path, settled: dict[str, Any]) -> dict[str, Any]:
    """Where phones register: at the running node, which may have been told another port than the settings."""
    try:
        ready: dict[str, Any] = await ask(home, "ready")
    except NoNodeError:
        return settled
    return ready
