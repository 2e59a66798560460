"""The server with real WebSockets: rows equal their singles, and nobody spoils it for others."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import socket
import struct
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from worldsim.runtime.bundle import Bundle
from worldsim.runtime.load import load_runtime
from worldsim.runtime.session import Session

uvicorn = pytest.importorskip("uvicorn")
pytest.importorskip("starlette")

from websockets.exceptions import ConnectionClosed, InvalidStatus  # noqa: E402  (they may be missing)
from websockets.sync.client import ClientConnection, connect  # noqa: E402

from worldsim.web.lobby import Limits, Lobby, Outbox  # noqa: E402
from worldsim.web.metrics import Metrics  # noqa: E402
from worldsim.web.server import FINAL, LOOPBACK, MESSAGE_BYTES, make_app  # noqa: E402

CODE = "0123456789abcdef"
PATIENCE = 60.0  # seconds; the machine may be busy


class Client:
    """A player without a page."""

    def __init__(self, port: int, query: str = "", **options: Any):
        url = f"ws://127.0.0.1:{port}/play{query}"
        self.socket: ClientConnection = connect(url, max_size=None, **options).__enter__()
        self.token = self.event("session")["token"]

    def send(self, **command: Any) -> None:
        self.socket.send(json.dumps(command))

    def begin(self, start: int = 0, seed: int = 5, actions: list[int] | None = None, **more: Any) -> None:
        self.send(do="open", world="tiny", start=start, seed=str(seed), actions=actions or [], **more)

    def receive(self) -> dict[str, Any]:
        """The next event; of a frame with its picture, `png`."""
        data = self.socket.recv(timeout=PATIENCE)
        if isinstance(data, str):
            return dict(json.loads(data))
        (length,) = struct.unpack(">I", data[:4])
        return {**json.loads(data[4 : 4 + length]), "png": data[4 + length :]}

    def event(self, kind: str, **fields: Any) -> dict[str, Any]:
        """The next event of a kind with these fields."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            event = self.receive()
            if event["on"] == kind and all(event[name] == value for name, value in fields.items()):
                return event
        raise AssertionError(f"no {kind} {fields}")

    def until(self, index: int) -> dict[str, Any]:
        """The first frame of this number, or later."""
        while (frame := self.event("frame"))["index"] < index:
            pass
        return frame

    def close_code(self) -> int:
        """How the server ends it."""
        with pytest.raises(ConnectionClosed) as closed:
            while True:
                self.socket.recv(timeout=PATIENCE)
        return closed.value.rcvd.code if closed.value.rcvd else 1006


@contextlib.contextmanager
def served(world: Path, token: str = "", **limits: Any) -> Iterator[int]:
    """A server of the tiny world on a port of its own."""
    app = make_app(Lobby([Bundle(world)], Limits(**limits)), token, () if token else LOOPBACK)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(
            uvicorn.Config(app, log_level="warning", ws_max_size=MESSAGE_BYTES, timeout_graceful_shutdown=1)
        )
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join(PATIENCE)


@pytest.fixture
def port(endless_world: Path) -> Iterator[int]:
    with served(endless_world, players=3, waiting=2) as at:
        yield at


def pixels(png: bytes) -> np.ndarray:
    picture: np.ndarray = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)[..., ::-1].astype(int)
    return picture


def metric(port: int, name: str, query: str = "") -> float:
    text = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics{query}", timeout=PATIENCE).read().decode()
    return sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith(f"worldsim_{name}"))


def test_each_player_is_as_if_alone(port, endless_world):
    """Two at once, who hold other keys and came at other times, get the frames that each would get alone."""
    one, two = Client(port), Client(port)
    one.begin(start=0, seed=5)
    one.until(3)
    two.begin(start=1, seed=6)
    two.send(do="keys", held=["ArrowRight"], tapped=[], stamp=1.5)
    one.send(do="keys", held=["KeyA"], tapped=["KeyA"], stamp=1)
    assert two.event("frame", stamp=1.5)["index"] > 0  # the first frame that shows the key says so
    session = Session(load_runtime(Bundle(endless_world), device="cpu"))
    for player, start, seed, action in ((one, 0, 5, 1), (two, 1, 6, 2)):
        player.until(8)
        player.send(do="pause")
        shown = player.event("frame", paused=True)
        player.send(do="share")
        shared = player.event("shared")
        assert (shared["start"], shared["seed"]) == (start, str(seed)) and shared["actions"][-1] == action
        state = session.start([start], [seed])
        for taken in shared["actions"]:
            state, _ = session.step(state, np.array([taken]))
        assert int(state.index[0]) == shown["index"]
        assert np.abs(pixels(shown["png"]) - state.frame[0]).max() <= 1


def test_rewind_gives_the_same_pixels_and_another_way_on(port):
    client = Client(port)
    client.begin()
    seen = [client.until(n) for n in (2, 5, 8)]
    client.send(do="seek", position=seen[1]["position"])
    again = client.event("frame", paused=True)
    assert again["png"] == seen[1]["png"] and again["index"] == seen[1]["index"]
    client.send(do="keys", held=["ArrowLeft"], tapped=[], stamp=0)
    client.send(do="step")
    left = client.event("frame", index=again["index"] + 1)
    client.send(do="seek", position=again["position"])
    client.send(do="keys", held=["ArrowRight"], tapped=[], stamp=0)
    client.send(do="step")
    right = client.event("frame", index=again["index"] + 1)
    assert left["png"] != right["png"]
    assert left["actions"] == [1] and right["actions"] == [2]  # what the page needs to come back after a restart


def test_branches_and_bookmarks_lead_back(port):
    client = Client(port)
    client.begin()
    client.until(6)
    client.send(do="pause")
    end = client.event("frame", paused=True)
    client.send(do="mark")
    assert client.event("frame", marks=[end["position"]])
    client.send(do="seek", position=2)
    client.event("frame", index=2)
    client.send(do="keys", held=["ArrowLeft"], tapped=[], stamp=0)
    client.send(do="step")
    (branch,) = client.event("branches")["branches"] or client.event("branches")["branches"]
    other = client.event("frame", index=3)
    assert branch["index"] == end["index"] and base64.b64decode(branch["picture"]) == end["png"]
    assert other["marks"] == []  # the bookmark is on the other way
    client.send(do="branch", branch=0)
    back = client.event("frame", index=end["index"])
    assert back["png"] == end["png"] and (back["known"], len(back["actions"])) == (0, end["index"])
    client.send(do="branch", branch=0)
    assert client.event("frame", index=3)["png"] == other["png"]
    client.send(do="jump")
    assert client.event("frame", index=end["index"])["png"] == end["png"]


def test_two_play_one_world_with_keys_of_their_own(port):
    """Both see the same pixels, both steer, and who leaves does not end it."""
    one, two, alone = Client(port), Client(port), Client(port)
    one.begin(seed=5)
    one.until(2)
    one.send(do="invite", code=CODE)
    two.begin(seed=99, start=1, code=CODE)  # what it would play if nobody were there
    opened = two.event("opened")
    assert (opened["start"], opened["seed"]) == (0, "5")
    alone.begin(seed=5)
    assert one.event("frame", seats=2)["seat"] == 0 and two.event("frame", seats=2)["seat"] == 1
    two.send(do="pause")
    first, second = one.event("frame", paused=True), two.event("frame", paused=True)
    assert first["png"] == second["png"] and first["index"] == second["index"]
    one.send(do="keys", held=["ArrowLeft"], tapped=[], stamp=1.5)
    two.send(do="keys", held=["ArrowRight"], tapped=["ArrowRight"], stamp=2.5)
    taken, drivers, stamps = [], [], []
    for number in range(1, 5):
        one.send(do="step")
        frames = [player.event("frame", index=first["index"] + number) for player in (one, two)]
        assert frames[0]["png"] == frames[1]["png"]
        taken.append(frames[0]["actions"][-1])
        drivers.append(frames[1]["driver"])
        stamps.append([frame["stamp"] for frame in frames])
    assert taken in ([1, 2, 1, 2], [2, 1, 2, 1]) and drivers == [action - 1 for action in taken]  # in turn
    assert [max(column) for column in zip(*stamps, strict=True)] == [1.5, 2.5]
    assert alone.until(5)["seats"] == 1
    one.send(do="close")
    two.send(do="resume")
    assert two.event("frame", seats=1)["seat"] == 0
    two.until(first["index"] + 8)
    two.begin(seed=7, code=CODE)  # anew, and still under the code
    assert two.event("opened")["seed"] == "7"
    one.begin(code=CODE)
    assert one.event("opened")["seed"] == "7"
    assert one.event("frame")["seats"] == 2


def test_a_world_has_four_seats(endless_world):
    with served(endless_world, players=6) as port:
        friends = [Client(port) for _ in range(4)]
        for friend in friends:
            friend.begin(code=CODE)
            friend.until(1)
        fifth = Client(port)
        fifth.begin(code=CODE)
        assert fifth.close_code() == FINAL
        assert friends[0].event("frame", seats=4)


def test_a_replay_comes_to_the_same_frame(port):
    client = Client(port)
    client.begin(start=2)
    client.until(6)
    client.send(do="pause")
    shown = client.event("frame", paused=True)
    client.send(do="share")
    client.begin(start=2, actions=client.event("shared")["actions"])
    again = client.event("frame", index=shown["index"])
    assert np.abs(pixels(again["png"]) - pixels(shown["png"])).max() <= 1


def test_a_broken_connection_is_taken_up_again(port):
    client = Client(port)
    client.begin()
    client.until(4)
    client.send(do="pause")
    shown = client.event("frame", paused=True)
    client.socket.close()
    again = Client(port, f"?session={client.token}")
    assert again.token == client.token
    frame = again.event("frame")
    assert (frame["index"], frame["png"]) == (shown["index"], shown["png"])
    assert frame["known"] == 0 and len(frame["actions"]) == frame["index"]
    again.send(do="resume")
    again.until(shown["index"] + 3)


def test_who_finds_no_place_waits_and_then_plays(port):
    players = [Client(port) for _ in range(3)]
    for player in players:
        player.begin()
        player.until(1)
    fourth = Client(port)
    fourth.begin()
    assert fourth.event("waiting")["place"] == 1
    players[0].send(do="close")
    fourth.until(2)
    players[1].until(2)


def test_idle_players_make_place(endless_world):
    with served(endless_world, players=1, waiting=1, idle=2.0) as port:
        sleeper = Client(port)
        sleeper.begin()
        waiting = Client(port)
        waiting.begin()
        assert sleeper.close_code() == FINAL
        waiting.until(1)


def test_two_hundred_at_once_leave_the_players_alone(port):
    player = Client(port)
    player.begin()
    player.until(1)
    outcomes: list[str] = []

    def come() -> None:
        try:
            outcomes.append("in" if Client(port, open_timeout=PATIENCE).token else "")
        except ConnectionClosed as closed:
            outcomes.append(str(closed.rcvd.code if closed.rcvd else 0))

    crowd = [threading.Thread(target=come) for _ in range(200)]
    for one in crowd:
        one.start()
    index = player.until(2)["index"]
    for one in crowd:
        one.join(PATIENCE)
    assert outcomes.count("in") >= 4 and outcomes.count(str(FINAL)) >= 150, outcomes
    assert outcomes.count("in") + outcomes.count(str(FINAL)) == 200
    player.until(index + 5)
    assert metric(port, "refused_total") >= 150


OPEN = {"do": "open", "world": "tiny", "start": 0, "seed": "1", "actions": []}
NO_COMMANDS = {
    "no JSON": "not json",
    "deep JSON": "[" * 50_000,
    "no object": "[]",
    "bytes": b"\x00\x01",
    "unknown": json.dumps({"do": "fly"}),
    "keys that are no list": json.dumps({"do": "keys", "held": "KeyA", "tapped": []}),
    "a thousand keys": json.dumps({"do": "keys", "held": ["KeyA"] * 1000, "tapped": []}),
    "no position": json.dumps({"do": "seek", "position": "far"}),
    "no number": '{"do": "seek", "position": NaN}',
    "a code that can be guessed": json.dumps({**OPEN, "code": "1"}),
    "no code": json.dumps({"do": "invite", "code": ["0123456789abcdef"]}),
    "no branch": json.dumps({"do": "branch", "branch": None}),
    "no such start": json.dumps({**OPEN, "start": 99}),
    "no seed": json.dumps({**OPEN, "seed": "-1"}),
    "no such action": json.dumps({**OPEN, "actions": [9]}),
    "no such world": json.dumps({**OPEN, "world": "../tiny"}),
}


@pytest.mark.parametrize("message", NO_COMMANDS.values(), ids=NO_COMMANDS.keys())
def test_what_is_no_command_ends_that_connection_alone(port, message):
    other, client = Client(port), Client(port)
    other.begin()
    client.begin()
    client.until(1)
    client.socket.send(message)
    assert client.close_code() == FINAL
    other.until(other.until(1)["index"] + 3)


def test_oversized_messages_and_floods_end_that_connection_alone(port):
    other, large, flood = Client(port), Client(port), Client(port)
    other.begin()
    large.socket.send("x" * (2 * MESSAGE_BYTES))
    assert large.close_code() == 1009
    with contextlib.suppress(ConnectionClosed):
        for _ in range(2000):
            flood.send(do="pause")
    assert flood.close_code() in (FINAL, 1006)  # 1006: what was still on its way met a closed connection
    other.until(other.until(1)["index"] + 3)


def test_a_client_that_never_reads_leaves_others_alone(port):
    deaf, other = Client(port), Client(port)
    deaf.begin()
    other.begin()
    began = other.until(1)["index"]
    other.until(began + 30)
    assert metric(port, "connections") == 2


def test_slow_clients_get_the_newest_frame():
    metrics = Metrics()

    async def two_frames_at_once() -> Any:
        outbox = Outbox(metrics)
        outbox.put({"on": "waiting", "place": 2})
        outbox.put({"on": "waiting", "place": 1})
        outbox.put_frame(3.0, 10.0)
        outbox.put_frame(0.0, 11.0)
        return await outbox.take()

    events, frame = asyncio.run(two_frames_at_once())
    assert events == [{"on": "waiting", "place": 1}]
    assert frame == (3.0, 11.0)  # the key that the dropped frame was the first to show
    assert "worldsim_dropped_frames_total 1" in metrics.text({})


def test_other_pages_and_other_names_are_kept_out(port):
    for origin in ("http://elsewhere.example", "null", f"http://127.0.0.1:{port + 1}"):
        with pytest.raises(InvalidStatus):
            Client(port, additional_headers={"Origin": origin})
    named = urllib.request.Request(f"http://127.0.0.1:{port}/metrics", headers={"Host": "elsewhere.example"})
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(named, timeout=PATIENCE)
    assert Client(port, additional_headers={"Origin": f"http://127.0.0.1:{port}"}).token
    assert metric(port, "refused_total") == 3


def test_token_is_asked_for(endless_world):
    with served(endless_world, token="secret") as port:
        for query in ("", "?token=", "?token=other", "?token=secre%C3%A9"):
            with pytest.raises(InvalidStatus):
                Client(port, query)
        with pytest.raises(urllib.error.HTTPError):
            metric(port, "players")
        assert Client(port, "?token=secret").token
        assert metric(port, "refused_total", "?token=secret") == 4


def test_pages_and_pictures_are_there_and_nothing_else(port):
    def status(path: str) -> int:
        try:
            return int(urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=PATIENCE).status)
        except urllib.error.HTTPError as error:
            return error.code

    assert all(status(path) == 200 for path in ("/", "/app.js", "/site.json", "/worlds/tiny/preview.png"))
    assert status("/worlds/tiny/start-04.png") == 200
    for path in ("/worlds/tiny/start-05.png", "/worlds/tiny/start--1.png", "/worlds/no/preview.png", "/../cli/main.py"):
        assert status(path) == 404


def test_history_shares_what_it_has_in_common(endless_world):
    """A minute of one player's history must not hold copies of everybody's."""
    from worldsim.web.play import Moment, Play, owned

    session = Session(load_runtime(Bundle(endless_world), device="cpu"))
    states = [session.start([0], [1]), session.start([1], [2])]
    player = Play(session.spec, limit=4)
    player.begin(Moment(states[0], b""), 0, [])
    for number in range(20):
        new, _ = session.step(session.stack([player.now.state, states[1]]), np.array([number % 3, 0]))
        row, states[1] = session.split(new)
        before = player.now.state
        assert player.advance(player.now, number % 3, Moment(row, b""))
        mine = player.now.state
        assert mine.entries[0] is before.entries[1] and len(mine.entries) == len(row.entries)
        assert sum(any(a is b for b in before.memory) for a in mine.memory) >= len(mine.memory) - 1
        fresh = mine.entries[-1], mine.memory[-1], mine.frame, mine.latents
        assert all(array.base is None for array in fresh)  # no views of a batch
        assert session.snapshot(mine) == session.snapshot(row)
    assert len(player.history) == 4 and owned(before, row).number == row.number
