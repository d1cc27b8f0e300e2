"""What a server refuses: each with the status, and the reason in one line, that OpenAI's clients read."""

import json
import os
import socket
import time

import pytest

from rgz.errors import RgzError
from rgz.serve import Reader, Server
from rgz.serve.connection import Connection

CHAT, TEXT = "/v1/chat/completions", "/v1/completions"


def refusal(response):
    """Status and message of a response that is an error in the right form."""
    error = json.load(response)["error"]
    assert error.keys() == {"message", "type", "param", "code"} and "\n" not in error["message"]
    return response.status, error["message"]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"cls": 1}, "unknown key 'cls'"),
        ({"temprature": 1}, "did you mean 'temperature'"),
        ({"temperature": -1}, "temperature must be"),
        ({"temperature": "hot"}, "temperature must be a number"),
        ({"top_p": 0}, "top_p must be"),
        ({"seed": -1}, "seed must be"),
        ({"max_tokens": -1}, "max_tokens must be >= 1"),
        ({"max_tokens": 0}, "max_tokens must be >= 1"),
        ({"max_tokens": 2.5}, "max_tokens must be an integer"),
        ({"n": 2}, "n can only be 1 here, got 2"),
        ({"echo": True}, "echo can only be false"),
        ({"logprobs": 3}, "logprobs can only be"),
        ({"tools": [{}]}, "tools can only be []"),
        ({"stop": ["山"] * 17}, "stop must be at most 16 texts"),
        ({"stop": ""}, "stop must be texts that are not empty"),
        ({"stop": [1]}, "stop must be"),
        ({"stream": "yes"}, "stream must be true or false"),
        ({"stream_options": {"include_usage": 1}}, "stream_options must be"),
        ({"stream_options": {"other": True}}, "stream_options must be"),
        ({"prompt": ["山", "河"]}, "prompt must be a text"),
        ({"prompt": [1, 2]}, "prompt must be a text"),
        ({"prompt": "山" * 64}, "has 65 tokens, and the model reads 64 at a time"),
        ({"model": 3}, "model must be a text"),
        ({"model": None}, "model is missing; there is verses"),
    ],
)
def test_fields_that_cannot_be(client, fields, message):
    status, answer = client.ask(TEXT, **{"prompt": "山", **fields})
    assert status == 400 and message in answer["error"]["message"], answer


@pytest.mark.parametrize(
    ("messages", "message"),
    [
        (None, "messages must be a list of at least one message"),
        ([], "messages must be a list of at least one message"),
        ("山", "messages must be a list of at least one message"),
        (["山"], "messages must be objects with role and content"),
        ([{"role": "user"}], "must be an object with role and content"),
        ([{"role": "tool", "content": "山"}], "must be an optional system message"),
        ([{"role": "user", "content": "山"}] * 2, "user and assistant in turn"),
        ([{"role": "system", "content": "山"}], "must be an optional system message"),
        ([{"role": "user", "content": "山"}, {"role": "assistant", "content": "河"}], "end with a message of the user"),
        ([{"role": "user", "content": [{"type": "image_url", "text": "山"}]}], "content must be a text"),
        ([{"role": "user", "content": "山" * 64}], "shorten it"),
    ],
)  # fmt: skip
def test_messages_that_cannot_be(client, messages, message):
    status, answer = client.ask(CHAT, messages=messages)
    assert status == 400 and message in answer["error"]["message"], answer


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"3",
        b'"\xff"',
        b"[" * 100_000,
        b'{"model": "verses"} x',
    ],
)
def test_bodies_that_are_no_object(client, body):
    status, message = refusal(client.send("POST", TEXT, body))
    assert status == 400 and "body must be" in message


def test_values_of_any_depth_are_refused(client):
    for depth in range(900, 1000):  # about what Python may nest: some are read, but can not be shown
        body = b'{"model": "verses", "stop": ' + b"[" * depth + b"]" * depth + b"}"
        assert refusal(client.send("POST", TEXT, body))[0] == 400


def test_a_prompt_may_be_as_long_as_the_model_reads(client):
    assert client.ask(TEXT, prompt="山" * 63)[0] == 200  # and the token that begins every text
    assert client.ask(TEXT, prompt="山" * 64)[1]["error"]["code"] == "context_length_exceeded"


def test_another_model_is_not_found_under_any_name(client):
    status, answer = client.ask(TEXT, model="gpt-4\ud800\n", prompt="山")
    assert (
        status == 404 and answer["error"]["code"] == "model_not_found" and "only verses" in answer["error"]["message"]
    )


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/v2/models?a=1", 404),
        ("POST", "/v1/models", 405),
        ("GET", TEXT, 405),
        ("PUT", TEXT, 501),
    ],
)
def test_places_and_methods_that_are_not_there(client, method, path, status):
    assert refusal(client.send(method, path))[0] == status


def test_a_key_is_asked_for_before_anything_else(serve):
    client = serve(key="密钥 1")
    for headers in (
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": "Bearer "},
        {"Authorization": "密".encode()},
    ):
        status, answer = client.ask(TEXT, headers, prompt=3)
        assert status == 401 and answer["error"]["code"] == "invalid_api_key"
    assert client.send("GET", "/v1/models").status == 401 and client.send("GET", "/health").status == 200
    for scheme in ("Bearer", "bearer"):
        assert client.ask(TEXT, {"Authorization": f"{scheme} 密钥 1".encode()}, prompt="山")[0] == 200
    assert serve(key=os.fsdecode(b"k\xff")).ask(TEXT, {"Authorization": b"Bearer k\xff"}, prompt="山")[0] == 200


def test_pages_of_other_origins_may_not_ask(serve):
    page = {"Origin": "http://page.example"}
    assert refusal(serve().send("GET", "/v1/models", None, page))[0] == 403
    assert refusal(serve(allow_origin="http://other.example").send("OPTIONS", TEXT, None, page))[0] == 403
    for allowed in ("*", "http://page.example"):
        client = serve(allow_origin=allowed, key="k")
        wanted = {"Access-Control-Request-Headers": "authorization,content-type,x-stainless-lang"}
        response = client.send("OPTIONS", TEXT, None, {**page, **wanted})
        assert response.status == 204 and response.getheader("Access-Control-Allow-Origin") == allowed
        assert response.getheader("Access-Control-Allow-Headers") == wanted["Access-Control-Request-Headers"]
        refused = client.send("GET", "/v1/models", None, page)  # a page may read what is wrong
        assert refused.status == 401 and refused.getheader("Access-Control-Allow-Origin") == allowed
        response = client.send("GET", "/v1/models", None, {**page, "Authorization": "Bearer k"})
        assert response.status == 200 and response.getheader("Access-Control-Allow-Origin") == allowed


@pytest.mark.parametrize("host", ["localhost", "localhost:8080", "127.0.0.1:1", "[::1]:8080", "127.5.5.5"])
def test_this_machine_has_many_names(client, host):
    assert client.send("GET", "/v1/models", None, {"Host": host}).status == 200


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8080", "localhost.evil.example", "10.0.0.1", "[", ""])
def test_a_name_that_leads_here_from_elsewhere_needs_a_key(serve, host):
    assert refusal(serve().send("GET", "/v1/models", None, {"Host": host}))[0] == 403
    headers = {"Host": host, "Authorization": "Bearer k"}
    assert serve(key="k").send("GET", "/v1/models", None, headers).status == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Content-Length": "5000000"}, 413),
        ({"Content-Length": "-1"}, 400),
        ({"Content-Length": "1" * 5000}, 400),
        ({"Content-Length": "٣"}, 400),
        ({"Transfer-Encoding": "chunked"}, 411),
    ],
)
def test_lengths_that_cannot_be(client, headers, status):
    lines = [f"POST {TEXT} HTTP/1.1", "Host: localhost", *(f"{k}: {v}" for k, v in headers.items()), "", ""]
    assert spoken(client, "\r\n".join(lines).encode()).startswith(b"HTTP/1.1 %d " % status)


def test_two_lengths_are_none(client):
    head = f"POST {TEXT} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{{}}"
    assert spoken(client, head.encode()).startswith(b"HTTP/1.1 400 ")


def test_who_sends_too_much_reads_why(client):
    status, message = refusal(client.send("POST", TEXT, b" " * 20_000_000))
    assert status == 413 and "at most 4,000,000 bytes, got 20,000,000" in message


def test_wrong_settings_are_refused_while_all_places_are_taken(client):
    for _ in range(4):
        client.server.places.acquire()
    status, answer = client.ask(TEXT, prompt="山", temperature=-1)
    for _ in range(4):
        client.server.places.release()
    assert status == 400 and "temperature must be" in answer["error"]["message"]


def test_what_is_no_request(client):
    for line in (b"GET /v1/models HTTP/9.9.9", b"\x16\x03\x01 what", b"GET /" + b"a" * 70_000):  # TLS begins so
        assert b'"error"' in spoken(client, line + b"\r\n\r\n")
    assert b" 404 " in spoken(client, b"GET http://[ HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert client.send("GET", "/health").status == 200


def test_a_body_that_breaks_off_is_no_request(client):
    with socket.create_connection(("127.0.0.1", client.server.server_port), timeout=30) as connection:
        connection.sendall(f"POST {TEXT} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{{".encode())
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(100) == b""
    client.server.shutdown()
    assert any(f"POST {TEXT} - " in line and "the client has left" in line for line in client.log)


def test_who_does_not_send_what_it_announced_is_not_waited_for(client, monkeypatch):
    assert Connection.timeout == 60.0
    monkeypatch.setattr(Connection, "timeout", 0.2)
    assert spoken(client, f"POST {TEXT} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{{".encode()) == b""
    client.server.shutdown()
    assert any(f"POST {TEXT} - " in line and "the client has left" in line for line in client.log)


def spoken(client, data):
    """What comes back for bytes, until the server closes."""
    with socket.create_connection(("127.0.0.1", client.server.server_port), timeout=30) as connection:
        connection.sendall(data)
        answer = b""
        while part := connection.recv(65536):
            answer += part
    return answer


def test_a_model_whose_weights_are_damaged_says_so_whenever_that_shows(serve, model, monkeypatch):
    client, whole = serve(), model.advance

    def advance(tokens, cache, logits, n_threads):
        whole(tokens, cache, logits, n_threads)
        logits[:] = float("nan")

    monkeypatch.setattr(model, "advance", advance)
    status, answer = client.ask(TEXT, prompt="山", max_tokens=5, temperature=0)
    assert status == 500 and "logits are not numbers" in answer["error"]["message"]
    body = json.dumps({"model": "verses", "prompt": "山", "stream": True})
    events = client.send("POST", TEXT, body).read().decode()
    assert "logits are not numbers" in events and "[DONE]" not in events


def test_an_error_of_ours_is_told_and_logged(serve, monkeypatch, capfd):
    client = serve()
    monkeypatch.setattr(Reader, "text", lambda self, body: 1 / 0)
    assert refusal(client.send("POST", TEXT, b"{}"))[0] == 500
    told, deadline = "", time.monotonic() + 30
    while "ZeroDivisionError" not in told:  # by another thread, after the answer
        assert time.monotonic() < deadline, told
        time.sleep(0.01)
        told += capfd.readouterr().err


@pytest.mark.parametrize("host", ["127.0.0.1", "no.such.host.invalid", "é" * 70])
def test_where_it_cannot_listen(client, host):
    with pytest.raises(RgzError, match=f"cannot listen on {host}, port"):
        Server(client.server.reader, host, client.server.server_port, log=print)


def test_the_log_shows_no_control_characters(client):
    spoken(client, b"GET /\x1b[31m HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert [line for line in client.log if r"\x1b[31m" in line] and not any("\x1b" in line for line in client.log)
