"""A server answers what the model itself says, whole or in pieces, to many at once; who leaves is not waited for."""

import http.client
import json
import re
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from rgz.generate import Continuation, generate
from rgz.text import encode_prompt

CHAT, TEXT = "/v1/chat/completions", "/v1/completions"


def question(text):
    return [{"role": "user", "content": text}]


LONG = 1500


@pytest.fixture(scope="module")
def endless(model, tokenizer):
    """A prompt that the model, greedy, goes on with for at least LONG tokens."""
    for prompt in "白日依山尽黄河入海流":
        text = Continuation(model, tokenizer, prompt, max_new_tokens=LONG, n_threads=1, greedy=True)
        if len("".join(text)) > LONG // 2 and text.n_tokens == LONG:
            return prompt
    raise AssertionError("every text ends soon")


def test_a_chat_answers_what_the_model_says(client, model, tokenizer):
    said = generate(model, tokenizer, encode_prompt(tokenizer, question("山")), max_new_tokens=12, greedy=True)
    status, answer = client.chat("山")
    [choice] = answer["choices"]
    assert status == 200 and answer["object"] == "chat.completion" and answer["model"] == "verses"
    assert choice["message"] == {"role": "assistant", "content": said}


def test_a_text_goes_on_as_the_model_says_and_tokens_are_counted(client, model, tokenizer, endless):
    said = generate(model, tokenizer, endless, max_new_tokens=7, greedy=True)
    status, answer = client.ask(TEXT, prompt=endless, max_tokens=7)
    assert status == 200 and answer["object"] == "text_completion"
    assert answer["choices"][0]["text"] == said and answer["choices"][0]["finish_reason"] == "length"
    assert answer["usage"] == {"prompt_tokens": 2, "completion_tokens": 7, "total_tokens": 9}


def test_a_stop_in_the_last_token_has_stopped(client, model, tokenizer, endless):
    text = Continuation(model, tokenizer, endless, max_new_tokens=50, greedy=True)
    pieces = [(piece, text.n_tokens) for piece in text][:4]
    said, (_, n_tokens) = "".join(piece for piece, _ in pieces), pieces[-1]
    for stop, ends in ((said[1:], "stop"), ("no such", "length")):
        _, answer = client.ask(TEXT, prompt=endless, max_tokens=n_tokens, stop=stop)
        assert answer["choices"][0]["finish_reason"] == ends and answer["usage"]["completion_tokens"] == n_tokens
        assert answer["choices"][0]["text"] == said.partition(stop)[0]


def test_an_answer_that_the_model_ends_has_stopped(client, model, tokenizer):
    for seed in range(1000):
        said = Continuation(
            model, tokenizer, "山", max_new_tokens=12, temperature=9.0, top_k=None, top_p=1.0, seed=seed
        )
        text = "".join(said)
        if text and said.n_tokens < 12:
            break
    _, answer = client.ask(TEXT, prompt="山", temperature=9.0, top_k=0, top_p=1, seed=seed)
    assert answer["choices"][0]["finish_reason"] == "stop" and answer["choices"][0]["text"] == text
    assert answer["usage"]["completion_tokens"] == said.n_tokens


@pytest.mark.parametrize("asked", [{}, {"temperature": 1.5, "seed": 7, "top_k": 5, "top_p": 0.9}, {"stop": "。"}])
def test_pieces_add_up_to_the_whole_answer(client, asked):
    _, whole = client.chat("日", **asked)
    first, *pieces, last, usage = client.events(
        CHAT, messages=question("日"), stream_options={"include_usage": True}, **asked
    )
    assert first["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert {event["object"] for event in (first, *pieces, last)} == {"chat.completion.chunk"}
    assert len({event["id"] for event in (first, *pieces, last, usage)}) == 1
    text = "".join(event["choices"][0]["delta"]["content"] for event in pieces)
    assert text == whole["choices"][0]["message"]["content"]
    assert last["choices"][0]["delta"] == {}
    assert last["choices"][0]["finish_reason"] == whole["choices"][0]["finish_reason"]
    assert usage["choices"] == [] and usage["usage"] == whole["usage"]


def test_a_streamed_text_is_in_pieces_of_text(client):
    _, whole = client.ask(TEXT, prompt="河")
    *pieces, last = client.events(TEXT, prompt="河")
    assert "".join(event["choices"][0]["text"] for event in pieces) == whole["choices"][0]["text"]
    assert len(pieces) > 1 and last["choices"][0]["text"] == ""


def test_what_a_request_says_goes_before_the_options(serve, model, tokenizer):
    client = serve(settings={"max_new_tokens": 3})
    drawn = generate(model, tokenizer, "流", max_new_tokens=30, temperature=3.0, seed=1)
    _, answer = client.ask(TEXT, prompt="流", max_completion_tokens=30, temperature=3.0, seed=1)
    assert answer["choices"][0]["text"] == drawn  # though the server is greedy, and writes 3
    _, answer = client.ask(TEXT, prompt="流", temperature=None, max_tokens=None)
    assert answer["choices"][0]["text"] == generate(model, tokenizer, "流", max_new_tokens=3, greedy=True)


def test_content_in_parts_and_a_developers_message_are_understood(client):
    parts = [{"type": "text", "text": "白"}, {"type": "text", "text": "日"}]
    messages = [{"role": "developer", "content": "山"}, {"role": "user", "content": parts}]
    plain = [{"role": "system", "content": "山"}, *question("白日")]
    assert client.ask(CHAT, messages=messages)[1]["choices"] == client.ask(CHAT, messages=plain)[1]["choices"]


def test_it_sees_as_many_questions_as_it_was_taught_with(serve):
    client = serve(turns=1)
    assert client.chat("河", "海", "山")[1]["usage"] == client.chat("山")[1]["usage"]
    assert serve().chat("河", "海", "山")[1]["usage"]["prompt_tokens"] > client.chat("山")[1]["usage"]["prompt_tokens"]


def test_what_many_programs_send_changes_nothing(client):
    plain = client.chat("山")[1]["choices"]
    sent = {
        "n": 1,
        "user": "me",
        "store": False,
        "metadata": {"a": "b"},
        "presence_penalty": 0,
        "frequency_penalty": 0.0,
        "logprobs": None,
        "stop": None,
    }
    assert (
        client.chat("山", **sent, response_format={"type": "text"}, tools=[], tool_choice="auto")[1]["choices"] == plain
    )


def test_the_model_is_listed(client):
    listed = json.load(client.send("GET", "/v1/models"))
    assert listed["object"] == "list" and [model["id"] for model in listed["data"]] == ["verses"]
    for name in ("verses", "%76erses", "verses/", "verses?a=b"):
        assert json.load(client.send("GET", f"/v1/models/{name}")) == listed["data"][0]
    assert client.send("GET", "/v1/models/other").status == 404
    assert json.load(client.send("GET", "/health")) == {"status": "ok"}


def test_many_at_once_get_what_each_would_get_alone(client):
    prompts = "白日依山尽黄河入海流"
    alone = [client.ask(TEXT, prompt=prompt)[1]["choices"] for prompt in prompts]
    with ThreadPoolExecutor(len(prompts)) as pool:
        answers = list(pool.map(lambda prompt: client.ask(TEXT, prompt=prompt)[1]["choices"], prompts))
    assert answers == alone


def has_ipv6():
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
def test_it_listens_on_the_addresses_of_ipv6(serve):
    client = serve(host="::1")
    connection = http.client.HTTPConnection("::1", client.server.server_port, timeout=30)
    connection.request("GET", "/v1/models")
    assert connection.getresponse().status == 200 and client.server.is_local


def test_each_answer_has_a_name_and_a_time_of_its_own(client):
    answers = [client.ask(TEXT, prompt="山")[1] for _ in range(2)]
    assert answers[0]["id"] != answers[1]["id"] and abs(answers[0]["created"] - time.time()) < 60


def test_one_connection_takes_many_requests(client):
    connection = client.connect()
    answers = []
    for _ in range(2):
        connection.request("POST", TEXT, json.dumps({"model": "verses", "prompt": "目"}))
        answers.append(json.load(connection.getresponse())["choices"])
    assert answers[0] == answers[1]


def test_a_request_that_comes_during_an_answer_is_answered_next(client, monkeypatch):
    written, begun, sent = Continuation.__iter__, threading.Event(), threading.Event()

    def once_the_next_is_sent(self):
        begun.set()
        assert sent.wait(30)
        yield from written(self)

    monkeypatch.setattr(Continuation, "__iter__", once_the_next_is_sent)
    head = f"POST {TEXT} HTTP/1.1\r\nHost: localhost\r\nContent-Length: "
    with socket.create_connection(("127.0.0.1", client.server.server_port), timeout=30) as connection:
        for prompt in "白日":
            body = json.dumps({"model": "verses", "prompt": prompt})
            connection.sendall(f"{head}{len(body)}\r\n\r\n{body}".encode())
            assert begun.wait(30)
        sent.set()
        answers, file = [], connection.makefile("rb")  # one, for it reads ahead
        for _ in range(2):
            assert b" 200 " in file.readline()
            fields = http.client.parse_headers(file)
            answers.append(json.loads(file.read(int(fields["Content-Length"])))["choices"])
    assert answers == [client.ask(TEXT, prompt=prompt)[1]["choices"] for prompt in "白日"]


@pytest.mark.parametrize("stream", [False, True])
def test_who_leaves_is_not_waited_for(client, endless, stream):
    body = json.dumps({"model": "verses", "prompt": endless, "max_tokens": 10_000_000, "stream": stream})
    for _ in range(6):  # more than are answered at once
        connection = client.connect()
        connection.request("POST", TEXT, body)
        if stream:
            connection.getresponse().read(20)
        connection.close()
    assert client.ask(TEXT, prompt="山")[0] == 200
    deadline = time.monotonic() + 30
    while len(left := re.findall(r"(\d+) tokens.*the client has left", "\n".join(client.log))) < 6:
        assert time.monotonic() < deadline, client.log
        time.sleep(0.01)
    assert all(int(count) < LONG for count in left)


def test_no_more_are_answered_at_once_than_there_are_places(client, monkeypatch):
    written, at_once, lock = Continuation.__iter__, [0, 0], threading.Lock()

    def counted(self):
        with lock:
            at_once[:] = at_once[0] + 1, max(at_once[1], at_once[0] + 1)
        yield from written(self)
        with lock:
            at_once[0] -= 1

    monkeypatch.setattr(Continuation, "__iter__", counted)
    with ThreadPoolExecutor(12) as pool:
        answers = list(
            pool.map(lambda _: client.ask(TEXT, prompt="尽", temperature=3, seed=0, max_tokens=50), range(12))
        )
    assert {status for status, _ in answers} == {200} and at_once[0] == 0 and 1 < at_once[1] <= 4
